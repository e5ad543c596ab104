#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast is mfd here, and beside what else is installed?

Everything goes over loopback, from and into /dev/shm.  The rows of a table take turns, so that a machine that slows down slows all
of them: quote ratios of one run, never absolute times.  Times are medians, CPU seconds are those of both ends, wire bytes what the
loopback interface counted.
"""
import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SECTIONS = ("table", "micro", "sparse", "scaling", "sweep", "small")
MIB, GIB = 1 << 20, 1 << 30
PATIENCE = 120  # seconds; reached only by what hangs

ap = argparse.ArgumentParser(prog="bench.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS) + " (default: all)")
ap.add_argument("--quick", action="store_true", help="small images, few runs: a look, not a result")
ap.add_argument("--image", help="move this file rather than one of mixed content made here")
ap.add_argument("--runs", type=int, help="of each row (default 5; quick 3)")
ap.add_argument("--channels", default="8", help="of every row but the sweep's (default 8)")
ap.add_argument("--build", default="build", help="where the programs are (default build)")
args = ap.parse_args()
if set(args.sections) - set(SECTIONS):
    ap.error("sections are " + ", ".join(SECTIONS))
args.runs = args.runs or (3 if args.quick else 5)
running = set()


class Skip(Exception):
    """This row or section can't run here, and why."""


# ---- Processes: started in groups of their own, ended by the group's id. ----

def start(command, **more):
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         start_new_session=True, **more)
    running.add(p)
    return p


def finish(p, stop=False):
    """Wait for it, or end it; its CPU seconds, its children's too."""
    if stop:
        os.killpg(p.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while True:
        pid, status, usage = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            raise RuntimeError("hangs: " + str(p.args))
        time.sleep(0.0005)
    p.returncode = os.waitstatus_to_exitcode(status)
    running.discard(p)
    words = p.stderr.read().decode(errors="replace").strip()
    p.stderr.close()
    if p.returncode and not stop:
        raise RuntimeError(words.splitlines()[-1] if words else "exit status %d" % p.returncode)
    return usage.ru_utime + usage.ru_stime


def clean_up():
    for p in list(running):
        try:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        except (ProcessLookupError, ChildProcessError):
            pass
    shutil.rmtree(work, ignore_errors=True)


def until(done, p, seconds=20):
    limit = time.monotonic() + seconds
    while not done():
        if p.poll() is not None:
            running.discard(p)
            raise RuntimeError(p.stderr.read().decode(errors="replace").strip() or "ended at once")
        if time.monotonic() > limit:
            raise RuntimeError("does not listen: " + str(p.args))
        time.sleep(0.002)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as f:
            for line in f:
                word = line.split()
                if word[3] == "0A" and word[1].endswith(":%04X" % port):
                    return True
    return False


def wire():
    with open("/proc/net/dev") as f:
        return next(int(line.split()[1]) for line in f if line.strip().startswith("lo:"))


# ---- Movers: each returns seconds, CPU seconds, wire bytes. ----

def transfer(sender, receiver=None, ready=None, stop=False):
    """@sender is a command or makes one when the receiver is ready; @stop: the receiver does not end by itself."""
    before, cpu = wire(), 0
    if receiver:
        server = start(receiver)
        until(ready, server)
    begin = time.monotonic()
    cpu += finish(start(sender() if callable(sender) else sender))
    if receiver and not stop:
        cpu += finish(server)
    seconds = time.monotonic() - begin
    if receiver and stop:
        cpu += finish(server, stop=True)
    return seconds, cpu, wire() - before


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(program + " is not installed")


def at(name):
    return os.path.join(work, name)


def tool(name):
    return os.path.join(args.build, "tests", name)


def ceiling(image, out):
    return transfer([tool("ceiling"), args.channels, image, out or "-"])


def mfd(image, out, *options, channels=None, peaks=False):
    port = at("port")
    if os.path.exists(port):
        os.unlink(port)

    def command(end, *more):
        return ([tool("peak"), at(end)] if peaks else []) + [os.path.join(args.build, "mfd-" + end), "-q", *more]

    def sender():
        with open(port) as f:
            return command("send", image, "127.0.0.1:" + f.read().strip(), "-C", channels or args.channels, *options)

    return transfer(sender, command("recv", "--listen", "127.0.0.1:0", "--port-file", port, out or "null:"),
                    lambda: os.path.exists(port))


def socat(image, out):
    need("socat")
    port = free_port()
    return transfer(["socat", "-u", "-b262144", "OPEN:%s,rdonly" % image, "TCP:127.0.0.1:%d" % port],
                    ["socat", "-u", "-b262144", "TCP-LISTEN:%d,bind=127.0.0.1" % port, "OPEN:%s,creat,trunc" % out],
                    lambda: listens(port))


def zstd_socat(image, out):
    need("socat", "zstd")
    port = free_port()
    return transfer(["sh", "-c", "zstd -1 -T0 -q -c '%s' | socat -u -b262144 - TCP:127.0.0.1:%d" % (image, port)],
                    ["sh", "-c", "socat -u -b262144 TCP-LISTEN:%d,bind=127.0.0.1 - | zstd -d -q -f --sparse -o '%s'" % (port, out)],
                    lambda: listens(port))


def pigz_socat(image, out):
    need("socat", "pigz")
    port = free_port()
    return transfer(["sh", "-c", "pigz -1 -c '%s' | socat -u -b262144 - TCP:127.0.0.1:%d" % (image, port)],
                    ["sh", "-c", "socat -u -b262144 TCP-LISTEN:%d,bind=127.0.0.1 - | pigz -dc >'%s'" % (port, out)],
                    lambda: listens(port))


def nbdcopy(image, out):
    need("nbdcopy", "nbdkit")
    port = free_port()
    with open(out, "wb") as f:
        f.truncate(os.path.getsize(image))
    return transfer(["nbdcopy", "--connections=" + args.channels, image, "nbd://127.0.0.1:%d" % port],
                    ["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "file", out], lambda: listens(port), stop=True)


def rsync(image, out):
    need("rsync")
    port = free_port()
    with open(at("rsync.conf"), "w") as f:
        f.write("use chroot = no\nuid = %d\ngid = %d\n[bench]\npath = %s\nread only = no\n" % (os.getuid(), os.getgid(), work))
    return transfer(["rsync", "-W", "--inplace", image, "rsync://127.0.0.1:%d/bench/%s" % (port, os.path.basename(out))],
                    ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", "--port=%d" % port, "--config=" + at("rsync.conf")],
                    lambda: listens(port), stop=True)


class Monitor:
    """The control socket (QMP) of a QEMU: one JSON object a line each way, and events in between."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]


def qemu(image, out, method):
    """A stopped guest with the image as its memory, migrated over multifd.  The copy is not compared: QEMU puts its ROMs into it.
    The time is the one it says the migration took; its start and its end are not counted."""
    program = "qemu-system-x86_64"
    need(program)
    size, port = os.path.getsize(image), free_port()
    if size % MIB:
        raise Skip("the image is no whole number of MiB")
    with open(at("qemu.ram"), "wb") as f:
        f.truncate(size)
    before, guests, cpu = wire(), [], 0
    try:
        for end, memory, share in (("source", image, "off"), ("target", at("qemu.ram"), "on")):
            guests.append(start([program, "-S", "-accel", "tcg", "-machine", "q35,memory-backend=ram", "-m", "%dM" % (size // MIB),
                                 "-object", "memory-backend-file,id=ram,size=%d,mem-path=%s,share=%s" % (size, memory, share),
                                 "-nodefaults", "-display", "none", "-vga", "none", "-qmp", "unix:%s,server=on,wait=off" % at(end)]
                                + (["-incoming", "defer"] if end == "target" else [])))
            until(lambda: os.path.exists(at(end)), guests[-1])
        source, target = Monitor(at("source")), Monitor(at("target"))
        for monitor in (source, target):
            monitor("migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": True}])
            monitor("migrate-set-parameters", **{"multifd-channels": int(args.channels), "multifd-compression": method,
                                                 "multifd-zlib-level": 1, "multifd-zstd-level": 1, "max-bandwidth": 1 << 40})
        target("migrate-incoming", uri="tcp:127.0.0.1:%d" % port)
        source("migrate", uri="tcp:127.0.0.1:%d" % port)
        limit = time.monotonic() + PATIENCE
        while (state := source("query-migrate")).get("status") != "completed":
            if state.get("status") in ("failed", "cancelled") or time.monotonic() > limit:
                raise RuntimeError("migration: " + str(state.get("error-desc", state.get("status"))))
            time.sleep(0.01)
    finally:
        for guest in guests:
            cpu += finish(guest, stop=True)
        os.unlink(at("qemu.ram"))
        for end in ("source", "target"):
            if os.path.exists(at(end)):
                os.unlink(at(end))
    return state["total-time"] / 1000, cpu, wire() - before


# ---- Tables. ----

def middle(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def take_turns(rows, runs, image=None):
    """rows: [(name, function of an output path)]; {name: [medians of what they return]}; what can't run is said and left out."""
    results, missing, out = {}, {}, at("out")
    for turn in range(runs):
        for name, row in rows[turn % len(rows):] + rows[:turn % len(rows)]:
            if name in missing:
                continue
            if os.path.exists(out):
                os.unlink(out)
            try:
                result = row(out)
                if image and os.path.exists(out) and subprocess.run(["cmp", "-s", image, out]).returncode:
                    raise RuntimeError("the copy differs")
                results.setdefault(name, []).append(result)
            except (Skip, RuntimeError) as e:
                missing[name] = e
    if os.path.exists(out):
        os.unlink(out)
    for name, why in missing.items():
        results.pop(name, None)
        print("%-24s %s%s" % (name, "" if isinstance(why, Skip) else "FAILED: ", why))
        if not isinstance(why, Skip):
            failures.append(name)
    return {name: [middle(column) for column in zip(*results[name])] for name, _ in rows if name in results}


def print_table(results, size):
    print("%-24s %8s %7s %7s %7s %10s" % ("", "seconds", "ratio", "GB/s", "CPU s", "wire MB"))
    first = None
    for name, (seconds, cpu, sent) in results.items():
        first = first or seconds
        print("%-24s %8.3f %7.2f %7.2f %7.2f %10.1f" % (name, seconds, seconds / first, size / 1e9 / seconds, cpu, sent / 1e6), flush=True)


def room(size):
    """Nothing here may fill the memory of the machine."""
    with open("/proc/meminfo") as f:
        available = next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable"))
    free = min(shutil.disk_usage(work).free, available)
    if size + 512 * MIB > free:
        raise Skip("needs %.1f GiB in /dev/shm, %.1f GiB are free" % ((size + 512 * MIB) / GIB, free / GIB))


def mixed(size):
    """64 MiB of mixed pages, again and again: packets know nothing of each other.  A third zero, a quarter random, text, pointers."""
    seeded = random.Random(1)
    text = "".join("user:%d {name: n%x, tags: [%d, %d]}\n" % (i, seeded.getrandbits(40), seeded.randrange(50), seeded.randrange(50))
                   for i in range(100000)).encode()
    unit = bytearray()
    while len(unit) < min(size, 64 * MIB):
        length, kind = 4096 * (1 + seeded.getrandbits(6)), seeded.random()
        if kind < 0.34:
            unit += bytes(length)
        elif kind < 0.59:
            unit += seeded.randbytes(length)
        elif kind < 0.8:
            begin = seeded.randrange(len(text) - length)
            unit += text[begin:begin + length]
        else:
            unit += b"".join((0x7f0000000000 + seeded.getrandbits(24) * 8).to_bytes(8, "little") for _ in range(length // 8))
    return unit[:min(size, 64 * MIB)]


def make(name, size, unit):
    room(size)
    with open(at(name), "wb") as f:
        while f.tell() < size:
            f.write(unit[:size - f.tell()])
    return at(name)


def the_image():
    size = os.path.getsize(args.image) if args.image else (256 * MIB if args.quick else 2 * GIB)
    if not os.path.exists(at("image")):
        room(2 * size)
        if args.image:
            shutil.copyfile(args.image, at("image"))
        else:
            make("image", size, mixed(size))
    return at("image"), size


# ---- Sections. ----

def table():
    image, size = the_image()
    usage = subprocess.run([os.path.join(args.build, "mfd-send"), "--help"], capture_output=True, text=True).stdout
    methods = ["none", "zlib", "zstd"] + (["auto"] if "auto," in usage.split("--compress", 1)[1].split("--level")[0] else [])

    def mine(method):
        return ["-z", method] + (["-l", "1"] if method in ("zlib", "zstd") else [])

    rows = [("ceiling", lambda out: ceiling(image, out))]
    rows += [("mfd " + " ".join(mine(m)[1:]), lambda out, m=m: mfd(image, out, *mine(m))) for m in methods]
    rows += [("socat", lambda out: socat(image, out)), ("zstd -1 -T0 | socat", lambda out: zstd_socat(image, out)),
             ("pigz -1 | socat", lambda out: pigz_socat(image, out)), ("nbdcopy", lambda out: nbdcopy(image, out)), ("rsync -W (CPU of one)", lambda out: rsync(image, out))]
    rows += [("QEMU multifd " + m, lambda out, m=m: qemu(image, out, m)) for m in ("none", "zlib", "zstd")]
    print_table(take_turns(rows, args.runs, image), size)
    print("\nverified and discarded:")
    rows = [("ceiling", lambda out: ceiling(image, None))]
    rows += [("mfd " + " ".join(mine(m)[1:]), lambda out, m=m: mfd(image, None, *mine(m))) for m in methods]
    print_table(take_turns(rows, args.runs), size)


def micro():
    image, _ = the_image()
    seconds = "0.1" if args.quick else "0.5"
    for command in ([tool("handoff_bench"), seconds], [tool("zero_bench"), seconds], [tool("codec_bench"), image, seconds]):
        subprocess.run(command, check=True, timeout=PATIENCE)
        print(flush=True)


def sparse():
    unit = mixed(64 * MIB)
    with open(at("holes"), "wb") as f:
        f.truncate(64 * GIB)
        for i in range(100):
            f.seek(i * (64 * GIB // 100) // 4096 * 4096)
            f.write(unit[i % 64 * MIB:][:MIB])
    print("64 GiB with 100 MiB of data, no compression:")
    print_table(take_turns([("mfd, to null:", lambda out: mfd(at("holes"), None, "-z", "none")),
                            ("mfd, to a file", lambda out: mfd(at("holes"), out, "-z", "none"))], args.runs), 64 * GIB)
    size = (512 * MIB) if args.quick else 2 * GIB
    zeros = make("zeros", size, bytes(64 * MIB))
    print("\n%d MiB of zeros without holes:" % (size // MIB))
    print_table(take_turns([("dd bs=256K of=/dev/null", lambda out: transfer(["dd", "if=" + zeros, "bs=256K", "of=/dev/null"])),
                            ("mfd, to a file", lambda out: mfd(zeros, out, "-z", "none"))], args.runs, zeros), size)


def scaling():
    unit = random.Random(2).randbytes(64 * MIB)
    print("%-12s %8s %9s %11s %18s" % ("dense, GiB", "seconds", "s per GB", "CPU s / GB", "peak MiB, at ends"))
    for size in ([GIB // 4, GIB // 2, GIB] if args.quick else [GIB, 4 * GIB, 8 * GIB]):
        try:
            image = make("dense", size, unit)
        except Skip as e:
            print("%-12s %s" % (size / GIB, e))
            continue
        runs = []
        for _ in range(min(args.runs, 3)):
            seconds, cpu, _ = mfd(image, None, "-z", "none", peaks=True)
            runs.append((seconds, cpu, *(int(open(at(end)).read()) / 1024 for end in ("send", "recv"))))
        os.unlink(image)
        seconds, cpu, send, recv = (middle(column) for column in zip(*runs))
        print("%-12s %8.3f %9.3f %11.3f %9.1f %8.1f" % (size / GIB, seconds, seconds / size * 1e9, cpu / size * 1e9, send, recv), flush=True)


def sweep():
    image, size = the_image()
    for title, rows in (
            ("channels", [(str(n), lambda out, n=n: mfd(image, None, "-z", "none", channels=str(n))) for n in (1, 2, 4, 8, 16, 32)]),
            ("packet size, KiB", [(str(k), lambda out, k=k: mfd(image, None, "-z", "none", "--packet-size", "%dK" % k))
                                  for k in (64, 128, 256, 512, 1024, 2048, 4096)])):
        results = take_turns([("%s %s" % (title, name), row) for name, row in rows], args.runs)
        print_table(results, size)
        if results:
            best = min(r[0] for r in results.values())
            print("against the best: " + ", ".join("%s %.2f" % (name.rsplit(" ", 1)[1], r[0] / best) for name, r in results.items()) + "\n")


def small():
    image = make("small", MIB, mixed(MIB))
    rows = [("ceiling (no handshake)", lambda out: ceiling(image, out)), ("socat", lambda out: socat(image, out)),
            ("mfd, 1 channel", lambda out: mfd(image, out, channels="1")), ("mfd", lambda out: mfd(image, out))]
    results = take_turns(rows, 4 * args.runs + 1, image)
    base = "socat" if "socat" in results else "ceiling (no handshake)"
    for name, (seconds, cpu, _) in results.items():
        print("%-24s %7.1f ms   %+6.1f ms against %s   CPU %.1f ms" % (name, seconds * 1e3, (seconds - results[base][0]) * 1e3, base, cpu * 1e3))


def interrupted(number, _frame):
    sys.exit(128 + number)


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, interrupted)
failures = []
work = tempfile.mkdtemp(prefix="mfd-bench-", dir="/dev/shm")
try:
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), os.uname().machine)
    print("%d CPUs (%s), Linux %s, %s channels, medians of %d" % (os.cpu_count(), model, os.uname().release, args.channels, args.runs))
    for section in args.sections or SECTIONS:
        print("\n== " + section, flush=True)
        try:
            globals()[section]()
        except Skip as e:
            print(e)
finally:
    clean_up()
sys.exit(1 if failures else 0)
