/* SPDX-License-Identifier: MIT */
/*
 * mfd-recv: take an image from an mfd-send.
 */
#include <argp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activation.h"
#include "command.h"
#include "common.h"
#include "mfd.h"
#include "transfer.h"

struct choice {
	struct mfd_recv_options recv;
	struct common_options common;
	const char *port_file;
	const char **allow;      /* room for one of each argument */
	struct activation activation;
};

/* Keys of options without a short form. */
enum {
	PORT_FILE = 0x100, ACCEPT_TIMEOUT, INPLACE, NO_FSYNC, BASIS, DELTA, VERIFY, RESUME,
	MAX_CHANNELS, MAX_SIZE, ALLOW,
};

static const struct argp_option options[] = {
	{ .name = "listen", .key = 'l', .arg = "[HOST]:PORT",
	  .doc = "Listen here (required without socket activation); port 0 takes a free one" },
	{ .name = "port-file", .key = PORT_FILE, .arg = "FILE",
	  .doc = "Write the port to FILE once listening; removed at exit" },
	{ .name = "accept-timeout", .key = ACCEPT_TIMEOUT, .arg = "DUR",
	  .doc = "Wait for a sender for DUR (default 0: for ever)" },
	{ .name = "force", .key = 'f', .doc = "Replace an existing file, or write to a device" },
	{ .name = "inplace", .key = INPLACE,
	  .doc = "Write into the existing file rather than a temporary one" },
	{ .name = "no-fsync", .key = NO_FSYNC,
	  .doc = "Do not wait until the image is on the disk" },
	{ .name = "basis", .key = BASIS, .arg = "FILE",
	  .doc = "An older image: what it has need not travel" },
	{ .name = "delta", .key = DELTA,
	  .doc = "With --inplace, or a device: what is there is the basis" },
	{ .name = "verify", .key = VERIFY,
	  .doc = "Read the finished output again and compare its hash" },
	{ .name = "resume", .key = RESUME,
	  .doc = "Keep what has come when a transfer fails, and go on from it" },
	{ .name = "max-channels", .key = MAX_CHANNELS, .arg = "N",
	  .doc = "Data connections a sender may have, 1..128 (default 128)" },
	{ .name = "max-size", .key = MAX_SIZE, .arg = "SIZE",
	  .doc = "Refuse images larger than SIZE" },
	{ .name = "allow", .key = ALLOW, .arg = "ADDR[/PREFIX]",
	  .doc = "Talk to these senders only; may be given several times" },
	{ 0 },
};

static const char doc[] =
	"Receive a memory image from mfd-send.\v"
	"OUTPUT is a regular file, a block device, or null: to verify and discard.\n"
	"DUR is a number with ms, s, m or h; a bare one is seconds.\n"
	"SIZE is bytes, or with K or KiB = 1024, KB = 1000, and so on with M, G, T.\n"
	"\n"
	"Exit status 0: the whole image is in place, verified.";

static error_t parse_more(int key, char *arg, struct argp_state *state);

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &c->common;
		return 0;
	case 'l':
		c->recv.listen = arg;
		return 0;
	case 'f':
		c->recv.force = true;
		return 0;
	case INPLACE:
		c->recv.inplace = true;
		return 0;
	case NO_FSYNC:
		c->recv.no_fsync = true;
		return 0;
	case BASIS:
		c->recv.basis = arg;
		return 0;
	case DELTA:
		c->recv.delta = true;
		return 0;
	case VERIFY:
		c->recv.verify = true;
		return 0;
	case RESUME:
		c->recv.resume = true;
		return 0;
	case PORT_FILE:
		c->port_file = arg;
		return 0;
	case ALLOW:
		c->allow[c->recv.allow_count++] = arg;
		return 0;
	default:
		return parse_more(key, arg, state);
	}
}

/* Numbers and arguments. */
static error_t parse_more(int key, char *arg, struct argp_state *state)
{
	struct choice *c = state->input;

	switch (key) {
	case ACCEPT_TIMEOUT:
		c->recv.accept_timeout_ms = common_duration(
			state, "--accept-timeout", arg, 0, 365 * COMMON_MAX_DURATION_MS,
			"0 (for ever) to 8760h are allowed (units: ms, s, m, h)");
		return 0;
	case MAX_CHANNELS:
		c->recv.max_channels = (unsigned)common_integer(
			state, "--max-channels", arg, 1, MFD_MAX_CHANNELS, "1 to 128 are allowed");
		return 0;
	case MAX_SIZE:
		c->recv.max_size = common_size(
			state, "--max-size", arg, 1, UINT64_MAX,
			"1 byte and more are allowed, such as 512M or 64GiB");
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			common_fail(state, arg, "one transfer is allowed: OUTPUT");
		c->recv.output = arg;
		return 0;
	case ARGP_KEY_END:
		if (!c->recv.output)
			common_fail(state, "arguments", "OUTPUT is required");
		if (!c->recv.listen && !c->activation.count)
			common_fail(state, "--listen", "required: [HOST]:PORT, such as :7700");
		if (c->recv.listen && c->activation.count)
			common_fail(state, "--listen",
				    "not allowed with sockets of a service manager (LISTEN_FDS)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
static const struct argp parser = {
	.options = options, .parser = parse_option, .args_doc = "OUTPUT",
	.doc = doc, .children = children,
};

static void cancel(void *recv)
{
	mfd_recv_cancel(recv);
}

static void stats(void *recv, struct mfd_stats *ret)
{
	mfd_recv_stats(recv, ret);
}

static bool run(struct transfer *t, const struct mfd_recv_options *o, struct mfd_error *err)
{
	struct mfd_recv *recv;
	bool ok;

	if (!mfd_recv_new(o, &recv, err))
		return false;
	watch_attach(&t->watch, &(struct watch_subject){ cancel, stats, recv });
	ok = mfd_recv_run(recv, err);
	watch_detach(&t->watch);
	mfd_recv_free(recv);
	return ok;
}

int main(int argc, char **argv)
{
	char name[] = "mfd-recv";
	struct choice c = {
		.recv = { .max_channels = MFD_MAX_CHANNELS, .notice = transfer_notice },
		.common = common_defaults(),
		.allow = calloc((size_t)argc + 1, sizeof(*c.allow)),
	};
	char port_directory[PATH_MAX];
	struct transfer t = { 0 };
	char *command = command_line(name, argc, argv);
	struct mfd_error err;
	int status;
	bool ok;

	if (!c.allow) {
		fprintf(stderr, "%s: out of memory\n", name);
		return MFD_OS;
	}
	activation_take(&c.activation);
	common_parse(&parser, name, argc, argv, &c);
	c.recv.timeout_ms = c.common.timeout_ms;
	c.recv.family = c.common.family;
	c.recv.cache = c.common.cache;
	c.recv.congestion = c.common.congestion;
	c.recv.allow = c.allow;
	c.recv.opaque = &t;
	c.recv.listen_fds = c.activation.fd;
	c.recv.listen_fd_count = c.activation.count;
	c.recv.confine = true;
	if (c.port_file) {
		portfile_directory(c.port_file, port_directory);
		c.recv.confine_remove = port_directory;
	}
	t.port_file = c.port_file;
	t.command = command;
	ok = transfer_begin(&t, name, &(struct event_subject){ true, c.recv.output,
						    c.recv.listen ? c.recv.listen : "LISTEN_FDS" },
			    &c.common.report, &err) &&
	     run(&t, &c.recv, &err);
	status = transfer_end(&t, ok ? NULL : &err);
	free(command);
	free(c.allow);
	return status;
}
