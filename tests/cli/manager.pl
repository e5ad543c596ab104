# SPDX-License-Identifier: MIT
# A service manager in small: listens on a free port of 127.0.0.1 and starts a command with the listening socket whenever somebody
# knocks and it does not run, until it has been started COUNT times.  Ends with the last one's exit status.
#
# usage: perl manager.pl PORT-FILE COUNT COMMAND...
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();

my ($port_file, $count, @command) = @ARGV;
$^F = 100; # descriptors that stay open across exec
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64) or die "listen: $@";

open(my $file, '>', "$port_file.new") or die "$port_file: $!";
print $file $listener->sockport, "\n";
close($file);
rename("$port_file.new", $port_file) or die "$port_file: $!";

my $status = 0;
for (1 .. $count) {
	my $ready = '';
	vec($ready, fileno($listener), 1) = 1;
	select($ready, undef, undef, 60) == 1 or die "nobody came\n";
	my $child = fork() // die "fork: $!";
	if (!$child) {
		my $fd = fileno($listener);
		if ($fd != 3) {
			POSIX::dup2($fd, 3) or die "dup2: $!";
			POSIX::close($fd);
		}
		@ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, 1, 'mfd');
		exec(@command) or die "$command[0]: $!";
	}
	waitpid($child, 0);
	$status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
}
exit($status);
