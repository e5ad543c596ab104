/* SPDX-License-Identifier: MIT */
/*
 * The probe: do these pages look as if no codec could make them smaller?  It looks at 4 KiB of
 * them, wherever they are many, and costs a few microseconds: under one percent of what coding
 * a packet of 256 KiB takes.
 */
#ifndef MFD_COMPRESS_PROBE_H
#define MFD_COMPRESS_PROBE_H

#include "compress/method.h"

/* Bytes looked at, in pieces of PROBE_PIECE from as many pages. */
#define PROBE_BYTES 4096u
#define PROBE_PIECE 256u

/*
 * True for random, encrypted and compressed data.  Wrong where flat bytes repeat at a distance
 * (the same random page twice), which only a codec can see; whoever asks should code such a
 * packet now and then all the same.
 */
bool probe_incompressible(const struct method_pages *pages);

#endif
