/* SPDX-License-Identifier: MIT */
/*
 * Method none: the pages as they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compress/method.h"

static bool none_new(struct method **ret, struct mfd_error *err)
{
	struct method *m = malloc(sizeof(*m));

	if (!m)
		return error_set_os(err, MFD_OS, ENOMEM, "method none");
	m->ops = &method_none;
	*ret = m;
	return true;
}

static bool none_new_sender(int level, size_t max_bytes, struct method **ret,
			    struct mfd_error *err)
{
	(void)level;
	(void)max_bytes;
	return none_new(ret, err);
}

static bool none_send_prepare(struct method *m, struct method_pages *pages,
			      struct method_payload *payload, struct mfd_error *err)
{
	(void)m;
	(void)err;
	method_raw(pages, payload);
	return true;
}

static bool none_recv_pages(struct method *m, const uint8_t *payload, size_t size, uint8_t *ret,
			    size_t bytes, struct mfd_error *err)
{
	(void)m;
	if (size != bytes)
		return error_set(err, MFD_DATA, "payload of %zu bytes for %zu bytes of pages",
				 size, bytes);
	if (size)
		memcpy(ret, payload, size);
	return true;
}

static void none_free(struct method *m)
{
	free(m);
}

const struct method_ops method_none = {
	.name = "none",
	.id = METHOD_NONE,
	.encoder = method_own_encoder,
	.decoder = method_own_decoder,
	.new_sender = none_new_sender,
	.new_receiver = none_new,
	.send_prepare = none_send_prepare,
	.join = method_join_ignored,
	.sent = method_sent_ignored,
	.recv_pages = none_recv_pages,
	.free = none_free,
};
