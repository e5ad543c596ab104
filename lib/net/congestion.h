/* SPDX-License-Identifier: MIT */
/*
 * The congestion control algorithm of a TCP connection: how fast it sends, as far as the
 * receiver lets it.  A name says which; net.ipv4.tcp_available_congestion_control has those that
 * are there.
 */
#ifndef MFD_NET_CONGESTION_H
#define MFD_NET_CONGESTION_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Give @fd, a TCP socket, the algorithm @name; 0 or an errno.  Before there is a connection,
 * because some want to be in the SYN (dctcp asks for ECN); accepted ones have their listener's.
 */
int congestion_set(int fd, const char *name);

/*
 * Could we?  MFD_USAGE with those that are there if the kernel has no @name, MFD_NO_PERMISSION
 * with those that are allowed if it is for root only, else MFD_OS.
 */
bool congestion_check(const char *name, struct mfd_error *err) MFD_MUST_CHECK;

#endif
