/* SPDX-License-Identifier: MIT */
/*
 * What the user chose, and what he is told: the part of the public API that the layers below it
 * need as well.  Filled once by the caller, validated once by mfd_send_new() or mfd_recv_new(),
 * const ever after.  lib/mfd.h includes this file.
 */
#ifndef MFD_CORE_OPTIONS_H
#define MFD_CORE_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most data channels of one session: beyond it threads only take memory from each other. */
#define MFD_MAX_CHANNELS 128u

/* "The method's own default", for mfd_send_options.level. */
#define MFD_LEVEL_DEFAULT INT_MIN

/* Most rounds of a copy of what changes, the last one included. */
#define MFD_MAX_ROUNDS 100u

/* All ways to find what changed of a process, for mfd_send_options.trackers. */
#define MFD_TRACKERS_ALL 3u

/* Every mapping of a process, for mfd_send_options.filter. */
#define MFD_FILTER_ALL 0x1ffu

/* For mfd_send_options.retries. */
#define MFD_RETRY_FOREVER UINT_MAX

/* "Not known", for sizes. */
#define MFD_UNKNOWN UINT64_MAX

/* Which address family to use: both, or only one. */
enum mfd_family { MFD_ANY_FAMILY, MFD_IPV4, MFD_IPV6 };

/*
 * What the transfer may leave in the page cache: as it comes, nothing, or nothing by way of
 * O_DIRECT.
 */
enum mfd_cache { MFD_CACHE_KEEP, MFD_CACHE_DROP, MFD_CACHE_DIRECT };

enum mfd_phase { MFD_CONNECTING, MFD_MOVING, MFD_FLUSHING, MFD_FINISHED };

enum mfd_notice_kind {
	/* number: the port.  Receiver, once, before anybody can connect. */
	MFD_NOTICE_LISTENING,
	MFD_NOTICE_STARTED,      /* the session has begun; mfd_stats now knows channels and size */
	MFD_NOTICE_DROPPED,      /* a stranger was turned away; text says who and why.  Receiver. */
	MFD_NOTICE_CHANNEL,      /* a data connection was lost or replaced; text says which, why */
	MFD_NOTICE_WARNING,      /* text: one line for the user */
	/* this thread and those it starts from now on are, or text says why not.  Receiver. */
	MFD_NOTICE_CONFINED,
	MFD_NOTICE_DETAIL,       /* text: one line for a user who asked for more */
};

struct mfd_notice {
	enum mfd_notice_kind kind;
	uint64_t number;
	const char *text;        /* never NULL, valid during the call */
};

/*
 * Called by the thread inside mfd_send_run() or mfd_recv_run(), never by two at once; it must not
 * block for long.
 */
typedef void mfd_notice_fn(void *opaque, const struct mfd_notice *notice);

struct mfd_send_options {
	/* a regular file, a block device, "-" for standard input, or "pid:PID" */
	const char *image;
	const char *address;     /* host:port, [v6]:port */
	unsigned channels;       /* 1..128; 0: min(8, usable CPUs) */
	const char *method;      /* "auto", "none", "zlib", "zstd" */
	int level;               /* within the method's range, or MFD_LEVEL_DEFAULT */
	uint32_t packet_bytes;   /* 64 KiB..4 MiB, rounded down to whole pages; 0: default */
	uint64_t connect_timeout_ms; /* refused connections are retried as long */
	uint64_t timeout_ms;     /* silence of the peer that ends the session; at least 100 */
	uint64_t bytes_per_second; /* wire bytes, all channels together; 0: no limit */
	/*
	 * sessions after one that was lost, in a row without progress; MFD_RETRY_FOREVER; 0: none
	 */
	unsigned retries;
	enum mfd_cache cache;    /* of a file or device; a stream is read as it comes */
	const char *congestion;  /* of the data connections, such as "bbr"; NULL: the system's */
	bool filter_given;       /* of a process: otherwise its own coredump_filter is taken */
	/* which mappings are in the core, as core(5) has it; at most MFD_FILTER_ALL */
	unsigned filter;
	/*
	 * nobody is frozen for longer; 0: as long as it takes, which commands may not
	 */
	uint64_t max_freeze_ms;
	bool live;               /* copy a process while it runs, and freeze it for the rest */
	uint64_t downtime_ms;    /* with live: freeze when the rest is copied within so long */
	unsigned rounds;         /* with live or changing: at most so many, 2..MFD_MAX_ROUNDS */
	bool changing;           /* somebody writes to the file or device: walk it again */
	/* with changing: the next round is the last when at most so many pages changed */
	uint64_t until_pages;
	int freeze_pid;          /* with changing: a process that is frozen for that; 0: none */
	/* or shell commands that do that, both; NULL: none */
	const char *freeze_command, *thaw_command;
	/* with live: ways to find changes that may be tried, 1 userfaultfd, 2 soft-dirty */
	unsigned trackers;
	enum mfd_family family;
	mfd_notice_fn *notice;   /* NULL: none */
	void *opaque;
};

struct mfd_recv_options {
	const char *output;      /* a regular file, a block device, or "null:" */
	const char *listen;      /* :port, host:port, [v6]:port; port 0: any free one; NULL: */
	/* [listen_fd_count], 1 or 2: listening TCP sockets, the library's from mfd_recv_new() on */
	const int *listen_fds;
	size_t listen_fd_count;
	uint64_t accept_timeout_ms; /* 0: wait for ever */
	uint64_t timeout_ms;     /* as the sender's */
	bool force;              /* replace what is there */
	bool inplace;            /* write into the existing file rather than a temporary one */
	bool no_fsync;
	/* read the finished output again and compare its hash; not for null: */
	bool verify;
	/* an older image: what it has need not travel; NULL: none; not for null: */
	const char *basis;
	bool delta;              /* in place or a device: what is there is the basis */
	/*
	 * keep what has come when a session fails, go on from it, and listen again; not for null:
	 */
	bool resume;
	enum mfd_cache cache;
	const char *congestion;  /* as the sender's, but of all connections */
	unsigned max_channels;   /* 1..128 */
	uint64_t max_size;       /* bytes; 0: no limit */
	const char *const *allow; /* [allow_count] ADDR or ADDR/PREFIX; none: everybody */
	size_t allow_count;
	bool confine;            /* once listening; see mfd_recv_run() */
	/* a directory where the caller will still remove files; NULL: none */
	const char *confine_remove;
	enum mfd_family family;
	mfd_notice_fn *notice;
	void *opaque;
};

struct mfd_channel_stats {
	uint64_t packets;
	uint64_t bytes;          /* on the wire */
	uint64_t wait_source_ns;
	uint64_t wait_sink_ns;
	uint64_t wait_codec_ns;
	uint64_t wait_socket_ns;
	uint64_t wait_handoff_ns;
};

/* A snapshot; see mfd_stats(). */
struct mfd_stats {
	enum mfd_phase phase;
	uint64_t bytes_image;    /* MFD_UNKNOWN until known */
	uint64_t bytes_done;     /* of the image: acknowledged (sender), written (receiver) */
	uint64_t bytes_wire;     /* data channels */
	uint64_t pages_zero;
	uint64_t pages_data;
	uint64_t pages_kept;     /* the receiver had them already */
	uint64_t bytes_hashes;   /* of lists that told the sender so */
	uint64_t elapsed_ns;     /* since the session began; stands still when it has ended */
	uint64_t flush_ns;       /* of that, from the last byte moved to the output in place */
	uint64_t cpu_ns;         /* of this process */
	uint32_t rounds;         /* ended so far */
	uint64_t failovers;      /* data connections that were lost, and survived */
	/* how long somebody was frozen; MFD_UNKNOWN: not known yet, or nobody was */
	uint64_t downtime_ns;
	/* These are of live and changing images. */
	uint64_t stopped_ns;     /* stops before the last one, which is the downtime */
	/* how changes were found, userfaultfd, soft-dirty or hashes; of other images "" */
	const char *tracker;
	uint64_t dirty_rate;     /* bytes per second that changed, as last seen */
	uint64_t round_pages[MFD_MAX_ROUNDS]; /* data pages handed out, by round */
	unsigned channels;       /* 0 before the session began */
	/* as in the options; a receiver sees auto as zstd level 0; "" before the session began */
	const char *method;
	int level;
	/* what codes it here (sender) or decodes it (receiver): "igzip", "zstd"; "" as method */
	const char *backend;
	uint64_t hash;           /* the image hash; valid once committed */
	bool committed;          /* the output is in place under its name */
	/* not committed, but the receiver keeps what it has got for another try */
	bool resumable;
	struct mfd_channel_stats channel[MFD_MAX_CHANNELS];
};

#endif
