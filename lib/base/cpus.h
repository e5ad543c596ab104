/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs this process may really use.
 */
#ifndef MFD_BASE_CPUS_H
#define MFD_BASE_CPUS_H

/*
 * The CPUs of our affinity mask, or what the quotas of our cgroup and its parents are worth if that
 * is less; at least 1.
 */
unsigned cpus_usable(void);

#endif
