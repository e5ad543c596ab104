/* SPDX-License-Identifier: MIT */
/*
 * Is a core of the churning program of one moment?
 *
 *	churn_check CORE     exit status 0: every page is what the program's table says
 */
#include <inttypes.h>

#include "churn.h"
#include "core_file.h"

static struct core_file core;
static unsigned wrong, checked;

static void tell(const struct churn_stripe *s, uint32_t page, const char *what, uint64_t number)
{
	if (wrong++ < 8)
		fprintf(stderr,
			"%" PRIx64 " (page %u of the stripe at %" PRIx64 ", kind %u): %s "
			"%" PRIu64 "\n",
			s->address + (uint64_t)page * CHURN_PAGE, page, s->address,
			s->page[page].kind, what, number);
}

/* In the core it is; what it holds is for the caller. */
static void check_content(const struct churn_stripe *s, uint32_t i, uint64_t number)
{
	const uint64_t address = s->address + (uint64_t)i * CHURN_PAGE;
	const uint64_t *page = core_file_at(&core, address, CHURN_PAGE);
	int word;

	checked++;
	/* Nobody has ever written to its mapping, or it is the file's. */
	if (!page && core_file_segment(&core, address) &&
	    (number == 0 || (s->page[i].kind == CHURN_COPIED && !s->page[i].own)))
		return;
	if (!page) {
		tell(s, i, "not in the core, and should hold", number);
		return;
	}
	word = churn_differs(page, number);
	if (word < 0)
		return;
	tell(s, i, "does not hold", number);
	if (wrong <= 8)
		fprintf(stderr, "    but at word %d %" PRIx64 ", which is %s\n", word, page[word],
			churn_differs(page, 0) < 0 ? "all zero" : "another number");
}

static void check_page(const struct churn_stripe *s, uint32_t i)
{
	const struct churn_page *p = &s->page[i];
	const bool of_file = p->kind == CHURN_SHARED || (p->kind == CHURN_COPIED && !p->own);

	if ((i >= s->busy && i < s->busy_end) || (i >= s->other && i < s->other_end) ||
	    (of_file && p->file >= s->file && p->file < s->file_end))
		return;
	if (p->kind != CHURN_ABSENT)
		check_content(s, i, of_file ? s->number[p->file] : p->number);
	else if (core_file_segment(&core, s->address + (uint64_t)i * CHURN_PAGE))
		tell(s, i, "should not be in the core", 0);
}

int main(int argc, char **argv)
{
	const struct churn_root *r;
	uint64_t done = 0;

	if (argc != 2 || !core_file_open(&core, argv[1]))
		return 64;
	r = core_file_find(&core, CHURN_MAGIC, sizeof(*r));
	if (!r)
		return 1;
	for (unsigned s = 0; s < CHURN_STRIPES; s++) {
		for (uint32_t i = 0; i < CHURN_PAGES; i++)
			check_page(&r->stripe[s], i);
		done += r->stripe[s].done;
	}
	printf("%u pages checked after %" PRIu64 " deeds: %u wrong\n", checked, done, wrong);
	return wrong != 0;
}
