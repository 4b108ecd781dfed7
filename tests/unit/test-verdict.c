/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The verdict: every combination of facts about one source against a table, and what must never happen with several.
 */
#include "testing.h"

#include "mark/verdict.h"
#include "prng.h"
#include "refmark.h"

#define ANY (-1)
#define MARKED (-2) /* kind: any that holds a mark, or is like one */
#define OURS (-3)   /* kind: any that holds a mark of ours */

#define N_KINDS (SOURCE_CONFIGURED + 1)
#define N_STATUSES (SOURCE_VALID + 1)
#define N_STATES (MARK_TAKEN + 1)
#define N_VERIFIES (MARK_VERIFY_HINT + 1)
#define N_IMAGES (IMAGE_FOREIGN + 1)
#define N_FILES (FILE_MISSING + 1)
#define N_SOURCES ((size_t)N_KINDS * N_STATUSES * N_STATES * 2 * N_VERIFIES * 2 * N_IMAGES * N_FILES * N_FILES)

/* The first row that fits holds. */
static const struct row {
        const char *what;
        int status, kind, state, empty, verify, image, kernel, initrd, writable;
        enum verdict verdict;
        enum verdict_reason reason;
} rows[] = {
        /* status, kind, state, empty, verify, image, kernel, initrd, writable */
        { "no source", SOURCE_ABSENT, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL, REASON_NOTHING },
        { "unreadable", SOURCE_UNREADABLE, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_SOURCE_UNREADABLE },
        { "damaged", SOURCE_DAMAGED, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL, REASON_DAMAGED },
        { "newer format", SOURCE_FUTURE, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL, REASON_FUTURE },

        { "configured, foreign image", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, IMAGE_FOREIGN, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_FOREIGN },
        { "configured, kernel gone", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, IMAGE_PRESENT, FILE_MISSING, ANY,
          ANY, VERDICT_NORMAL, REASON_KERNEL_GONE },
        { "configured, kernel not looked at", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, IMAGE_PRESENT,
          FILE_NOT_LOOKED, ANY, ANY, VERDICT_NORMAL, REASON_KERNEL_GONE },
        { "configured, initrd gone", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, IMAGE_PRESENT, ANY, FILE_MISSING,
          ANY, VERDICT_NORMAL, REASON_INITRD_GONE },
        { "configured, image there", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, IMAGE_PRESENT, ANY, ANY, ANY,
          VERDICT_OFFER, REASON_UNMARKED },
        { "configured, no image", SOURCE_VALID, SOURCE_CONFIGURED, ANY, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_NOTHING },

        { "slot without a mark", SOURCE_VALID, MARKED, MARK_NONE, ANY, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_NOTHING },
        { "taken over an empty mark", SOURCE_VALID, MARKED, ANY, true, ANY, ANY, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_NOTHING },

        { "armed, image gone", SOURCE_VALID, MARKED, MARK_ARMED, false, ANY, IMAGE_GONE, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_STALE },
        { "taken, image gone", SOURCE_VALID, MARKED, MARK_TAKEN, false, ANY, IMAGE_GONE, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_SPENT },
        { "foreign image", SOURCE_VALID, MARKED, ANY, false, ANY, IMAGE_FOREIGN, ANY, ANY, ANY, VERDICT_NORMAL,
          REASON_FOREIGN },
        { "taken, cannot be seen", SOURCE_VALID, OURS, MARK_TAKEN, false, MARK_VERIFY_HINT, IMAGE_NOT_LOOKED, ANY, ANY,
          ANY, VERDICT_NORMAL, REASON_SPENT },
        { "taken, cannot be seen", SOURCE_VALID, OURS, MARK_TAKEN, false, MARK_VERIFY_HINT, IMAGE_NO_DEVICE, ANY, ANY,
          ANY, VERDICT_NORMAL, REASON_SPENT },
        { "taken, cannot be seen", SOURCE_VALID, OURS, MARK_TAKEN, false, MARK_VERIFY_HINT, IMAGE_NOT_READABLE, ANY,
          ANY, ANY, VERDICT_NORMAL, REASON_SPENT },
        { "must see, no device", SOURCE_VALID, MARKED, ANY, false, MARK_VERIFY_HEADER, IMAGE_NO_DEVICE, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_NO_DEVICE },
        { "must see, not readable", SOURCE_VALID, MARKED, ANY, false, MARK_VERIFY_HEADER, IMAGE_NOT_READABLE, ANY, ANY,
          ANY, VERDICT_NORMAL, REASON_NOT_READABLE },
        { "must see, not looked", SOURCE_VALID, MARKED, ANY, false, MARK_VERIFY_HEADER, IMAGE_NOT_LOOKED, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_NOT_READABLE },
        { "systemd's, no device", SOURCE_VALID, SOURCE_SYSTEMD, ANY, false, ANY, IMAGE_NO_DEVICE, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_NO_DEVICE },
        { "systemd's, not readable", SOURCE_VALID, SOURCE_SYSTEMD, ANY, false, ANY, IMAGE_NOT_READABLE, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_NOT_READABLE },
        { "systemd's, not looked", SOURCE_VALID, SOURCE_SYSTEMD, ANY, false, ANY, IMAGE_NOT_LOOKED, ANY, ANY, ANY,
          VERDICT_NORMAL, REASON_NOT_READABLE },

        /* From here on the image is there, or cannot be seen and the armed mark says so. */
        { "kernel gone", SOURCE_VALID, MARKED, ANY, false, ANY, ANY, FILE_MISSING, ANY, ANY, VERDICT_NORMAL,
          REASON_KERNEL_GONE },
        { "kernel not looked at", SOURCE_VALID, MARKED, ANY, false, ANY, ANY, FILE_NOT_LOOKED, ANY, ANY, VERDICT_NORMAL,
          REASON_KERNEL_GONE },
        { "initrd gone", SOURCE_VALID, MARKED, ANY, false, ANY, ANY, FILE_PRESENT, FILE_MISSING, ANY, VERDICT_NORMAL,
          REASON_INITRD_GONE },
        { "taken, image there", SOURCE_VALID, MARKED, MARK_TAKEN, false, ANY, IMAGE_PRESENT, FILE_PRESENT, ANY, ANY,
          VERDICT_OFFER, REASON_TRIED },
        { "cannot be consumed", SOURCE_VALID, MARKED, MARK_ARMED, false, ANY, ANY, FILE_PRESENT, ANY, false,
          VERDICT_OFFER, REASON_CANNOT_CONSUME },
        { "ready", SOURCE_VALID, MARKED, MARK_ARMED, false, ANY, IMAGE_PRESENT, FILE_PRESENT, ANY, true, VERDICT_RESUME,
          REASON_READY },
        { "ready by hint", SOURCE_VALID, MARKED, MARK_ARMED, false, MARK_VERIFY_HINT, ANY, FILE_PRESENT, ANY, true,
          VERDICT_RESUME, REASON_READY_HINT },
};

static bool fits(int want, int is)
{
        return want == ANY || want == is;
}

static const struct row *row_of(const struct source *s)
{
        for (size_t i = 0; i < N_OF(rows); i++) {
                const struct row *r = &rows[i];
                bool kind = r->kind == MARKED ? s->kind != SOURCE_CONFIGURED
                            : r->kind == OURS ? s->kind != SOURCE_CONFIGURED && s->kind != SOURCE_SYSTEMD
                                              : fits(r->kind, (int)s->kind);

                if (kind && fits(r->status, (int)s->status) && fits(r->state, (int)s->state) &&
                    fits(r->empty, s->empty) && fits(r->verify, (int)s->verify) && fits(r->image, (int)s->image) &&
                    fits(r->kernel, (int)s->kernel) && fits(r->initrd, (int)s->initrd) &&
                    fits(r->writable, s->writable))
                        return r;
        }
        return NULL;
}

static size_t take(size_t *n, size_t count)
{
        size_t digit = *n % count;

        *n /= count;
        return digit;
}

/* Number N of all combinations of facts; kind and status count fastest. */
static struct source nth_source(size_t n)
{
        struct source s;

        s.kind = (enum source_kind)take(&n, N_KINDS);
        s.status = (enum source_status)take(&n, N_STATUSES);
        s.state = (enum mark_state)take(&n, N_STATES);
        s.empty = take(&n, 2);
        s.verify = (enum mark_verify)take(&n, N_VERIFIES);
        s.writable = take(&n, 2);
        s.image = (enum image_state)take(&n, N_IMAGES);
        s.kernel = (enum file_state)take(&n, N_FILES);
        s.initrd = (enum file_state)take(&n, N_FILES);
        return s;
}

static const char *show(const struct source *s)
{
        static char text[4][160];
        static int turn;

        turn = (turn + 1) % 4;
        snprintf(text[turn], sizeof(text[turn]),
                 "{kind %d status %d state %d empty %d verify %d writable %d image %d kernel %d initrd %d}", s->kind,
                 s->status, s->state, s->empty, s->verify, s->writable, s->image, s->kernel, s->initrd);
        return text[turn];
}

static struct judgement judge(const struct source *s, size_t n)
{
        struct judgement j;

        memset(&j, 0x55, sizeof(j));
        verdict_judge(s, n, &j);
        return j;
}

/* ---- what must hold for the source that decided ---- */

static bool cannot_be_seen(const struct source *s)
{
        return s->image == IMAGE_NOT_LOOKED || s->image == IMAGE_NO_DEVICE || s->image == IMAGE_NOT_READABLE;
}

static bool may_resume(const struct source *s)
{
        return s->status == SOURCE_VALID && s->kind != SOURCE_CONFIGURED && s->state == MARK_ARMED && !s->empty &&
               s->writable && s->kernel == FILE_PRESENT && s->initrd != FILE_MISSING &&
               (s->image == IMAGE_PRESENT ||
                (s->verify == MARK_VERIFY_HINT && s->kind != SOURCE_SYSTEMD && cannot_be_seen(s)));
}

/* Returns what is wrong, or NULL. */
static const char *broken_promise(const struct source *s, size_t n, const struct judgement *j)
{
        if (j->source > n)
                return "the source is not one of them";
        if ((size_t)j->reason >= REASON_COUNT)
                return "unknown reason";
        if ((j->verdict == VERDICT_RESUME) != (j->reason == REASON_READY || j->reason == REASON_READY_HINT))
                return "resume and \"ready\" do not go together";
        if ((j->verdict == VERDICT_OFFER) !=
            (j->reason == REASON_TRIED || j->reason == REASON_CANNOT_CONSUME || j->reason == REASON_UNMARKED))
                return "offer and its reasons do not go together";
        if ((j->source == n) != (j->reason == REASON_NOTHING))
                return "\"nothing\" has a source, or a reason has none";
        if (j->source == n)
                return j->verdict == VERDICT_NORMAL ? NULL : "a verdict without a source";

        const struct source *d = &s[j->source];
        if (j->verdict == VERDICT_RESUME && !may_resume(d))
                return "resumes without the conditions";
        if (j->verdict == VERDICT_RESUME && (j->reason == REASON_READY) != (d->image == IMAGE_PRESENT))
                return "\"ready\" without an image that was seen";
        if (j->verdict == VERDICT_OFFER &&
            (d->status != SOURCE_VALID || d->kernel != FILE_PRESENT || d->initrd == FILE_MISSING))
                return "offers what cannot be started";
        if (j->verdict == VERDICT_OFFER && d->image != IMAGE_PRESENT &&
            !(d->verify == MARK_VERIFY_HINT && d->state == MARK_ARMED && cannot_be_seen(d)))
                return "offers an image that is not there";
        return NULL;
}

static void check(const struct source *s, size_t n)
{
        struct judgement j = judge(s, n);
        const char *wrong = broken_promise(s, n, &j);

        if (!wrong)
                return;
        for (size_t i = 0; i < n; i++)
                print_error("%zu: %s\n", i, show(&s[i]));
        fail_row("%s: verdict %d, reason %d, source %zu", wrong, j.verdict, j.reason, j.source);
}

/* ---- one source ---- */

static void test_no_source(void **state)
{
        struct judgement j = judge(NULL, 0);

        (void)state;
        assert_int_equal(j.verdict, VERDICT_NORMAL);
        assert_int_equal(j.reason, REASON_NOTHING);
        assert_int_equal(j.source, 0);
}

static void test_every_combination_of_one_source(void **state)
{
        size_t used[N_OF(rows)] = { 0 }, resumes = 0;

        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);
                struct judgement j = judge(&s, 1);
                const struct row *r = row_of(&s);

                assert_non_null(r);
                used[r - rows]++;
                if (j.verdict != r->verdict || j.reason != r->reason ||
                    j.source != (r->reason == REASON_NOTHING ? 1U : 0U))
                        fail_row("%s, row \"%s\": verdict %d, reason %d, source %zu", show(&s), r->what, j.verdict,
                                 j.reason, j.source);
                check(&s, 1);
                if (may_resume(&s) != (j.verdict == VERDICT_RESUME))
                        fail_row("%s: verdict %d", show(&s), j.verdict);
                resumes += j.verdict == VERDICT_RESUME;
        }
        for (size_t i = 0; i < N_OF(rows); i++)
                if (used[i] == 0)
                        fail_row("row \"%s\" is never used", rows[i].what);
        assert_true(resumes > 0);
}

static void test_never_from_taken(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);

                if (s.state == MARK_TAKEN && judge(&s, 1).verdict == VERDICT_RESUME)
                        fail_row("%s", show(&s));
        }
}

/* After a resume the boot loader has set "taken"; whatever is true at the next start, it is not done again. */
static void test_once(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);

                if (judge(&s, 1).verdict != VERDICT_RESUME)
                        continue;
                s.state = MARK_TAKEN;
                for (int image = 0; image < N_IMAGES; image++) {
                        s.image = (enum image_state)image;
                        assert_int_not_equal(judge(&s, 1).verdict, VERDICT_RESUME);
                }
        }
}

/* Facts get worse: nothing that is taken away may turn another verdict into a resume. */
static void test_less_is_never_more(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);

                if (judge(&s, 1).verdict == VERDICT_RESUME)
                        continue;
                struct source worse[] = { s, s, s, s };
                worse[0].writable = false;
                worse[1].kernel = FILE_MISSING;
                worse[2].initrd = s.initrd == FILE_PRESENT ? FILE_MISSING : s.initrd;
                worse[3].image = s.image == IMAGE_PRESENT ? IMAGE_GONE : s.image;
                for (size_t k = 0; k < N_OF(worse); k++)
                        if (judge(&worse[k], 1).verdict == VERDICT_RESUME)
                                fail_row("%s resumes, %s did not", show(&worse[k]), show(&s));
        }
}

static void test_only_kind_and_status_count_unless_valid(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i), bare = { .kind = s.kind, .status = s.status };

                if (s.status == SOURCE_VALID)
                        continue;
                struct judgement a = judge(&s, 1), b = judge(&bare, 1);
                if (a.verdict != b.verdict || a.reason != b.reason || a.source != b.source)
                        fail_row("%s", show(&s));
        }
}

static void test_marks_are_judged_alike_in_every_store(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i), env = s;

                if (s.kind == SOURCE_CONFIGURED || (s.kind == SOURCE_SYSTEMD && s.verify == MARK_VERIFY_HINT))
                        continue;
                env.kind = SOURCE_ENV;
                assert_int_equal(judge(&s, 1).reason, judge(&env, 1).reason);
        }
}

/* ---- several sources ---- */

/* Whether this source ends the search: an image is there, or must be taken to be. */
static bool decides(const struct source *s)
{
        switch (row_of(s)->reason) {
        case REASON_READY:
        case REASON_READY_HINT:
        case REASON_KERNEL_GONE:
        case REASON_INITRD_GONE:
        case REASON_CANNOT_CONSUME:
        case REASON_TRIED:
        case REASON_UNMARKED:
                return true;
        default:
                return false;
        }
}

static void check_order(const struct source *s, size_t n)
{
        struct judgement j = judge(s, n);
        size_t want = n;

        for (size_t i = 0; i < n; i++) {
                if (want == n && row_of(&s[i])->reason != REASON_NOTHING)
                        want = i;
                if (decides(&s[i])) {
                        want = i;
                        break;
                }
        }
        const struct row *r = want < n ? row_of(&s[want]) : NULL;
        if (j.source != want || j.reason != (r ? r->reason : REASON_NOTHING) ||
            j.verdict != (r ? r->verdict : VERDICT_NORMAL)) {
                for (size_t i = 0; i < n; i++)
                        print_error("%zu: %s\n", i, show(&s[i]));
                fail_row("verdict %d, reason %d, source %zu, expected source %zu", j.verdict, j.reason, j.source, want);
        }
}

/* One source for each way to be judged: those that differ in nothing but facts that do not count are the same. */
static size_t representatives(struct source *out, size_t max, size_t per_row)
{
        size_t n = 0, used[3][N_OF(rows)] = { { 0 } };

        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);
                size_t row = (size_t)(row_of(&s) - rows);

                if (used[s.kind == SOURCE_CONFIGURED ? 0 : s.kind == SOURCE_SYSTEMD ? 1 : 2][row]++ >= per_row)
                        continue;
                assert_true(n < max);
                out[n++] = s;
        }
        return n;
}

static void test_every_pair(void **state)
{
        static struct source all[8000];
        size_t n = 0;

        (void)state;
        /* Every combination that differs in a fact that counts. */
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s = nth_source(i);
                bool bare = i < (size_t)N_KINDS * N_STATUSES;

                if ((s.status == SOURCE_VALID || bare) && (s.kind == SOURCE_ENV || s.kind == SOURCE_CONFIGURED)) {
                        assert_true(n < N_OF(all));
                        all[n++] = s;
                }
        }
        assert_int_equal(n, 2 * (N_SOURCES / N_KINDS / N_STATUSES + N_STATUSES - 1));
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n; k++) {
                        struct source pair[] = { all[i], all[k] };
                        check(pair, 2);
                }
}

static void test_order_of_pairs_and_triples(void **state)
{
        static struct source r[1000];
        size_t n = representatives(r, N_OF(r), 3);

        (void)state;
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n; k++) {
                        struct source pair[] = { r[i], r[k] };

                        check_order(pair, 2);
                        for (size_t l = 0; l < n; l++) {
                                struct source three[] = { r[i], r[k], r[l] };

                                check(three, 3);
                                check_order(three, 3);
                        }
                }
}

static void test_five_at_random(void **state)
{
        struct prng r = { 8 };

        (void)state;
        for (int i = 0; i < 500000; i++) {
                struct source s[5];
                size_t n = 1 + prng_below(&r, 5);

                for (size_t k = 0; k < n; k++) {
                        s[k] = nth_source(prng_below(&r, N_SOURCES));
                        if (prng_below(&r, 2))
                                s[k].status = SOURCE_VALID;
                }
                check(s, n);
                check_order(s, n);
        }
}

/* Sources that say nothing can stand anywhere. */
static void test_silent_sources_change_nothing(void **state)
{
        static const struct source silent[] = {
                { .kind = SOURCE_EFI, .status = SOURCE_ABSENT },
                { .kind = SOURCE_ENV, .status = SOURCE_VALID, .state = MARK_NONE, .empty = true },
                { .kind = SOURCE_CONFIGURED, .status = SOURCE_VALID, .image = IMAGE_GONE },
        };

        (void)state;
        for (size_t q = 0; q < N_OF(silent); q++)
                for (size_t i = 0; i < N_SOURCES; i++) {
                        struct source s = nth_source(i), before[] = { silent[q], s }, after[] = { s, silent[q] };
                        struct judgement one = judge(&s, 1), b = judge(before, 2), a = judge(after, 2);

                        if (one.verdict != b.verdict || one.reason != b.reason || one.verdict != a.verdict ||
                            one.reason != a.reason || b.source != one.source + 1 ||
                            a.source != (one.source == 1 ? 2 : 0))
                                fail_row("silent source %zu with %s", q, show(&s));
                }
}

/* An image that was tried once is not resumed by itself because a later source still says "armed". */
static void test_a_tried_image_stops_the_search(void **state)
{
        struct source tried = { .kind = SOURCE_ENV,
                                .status = SOURCE_VALID,
                                .state = MARK_TAKEN,
                                .writable = true,
                                .image = IMAGE_PRESENT,
                                .kernel = FILE_PRESENT,
                                .initrd = FILE_PRESENT };

        (void)state;
        for (size_t i = 0; i < N_SOURCES; i++) {
                struct source s[] = { tried, nth_source(i) };
                struct judgement j = judge(s, 2);

                assert_int_equal(j.verdict, VERDICT_OFFER);
                assert_int_equal(j.reason, REASON_TRIED);
                assert_int_equal(j.source, 0);
        }
}

/* The three places that the boot loader asks, side by side. */
static void test_env_boot_bits_configured(void **state)
{
        enum facts {
                NONE,
                EMPTY,
                STALE,
                READY,
                TAKEN,
                SPENT,
                HINT_SPENT,
                NO_KERNEL,
                READ_ONLY,
                DAMAGED,
                FUTURE,
                ORPHAN
        };
        static const struct source facts[] = {
                [NONE] = { .status = SOURCE_ABSENT },
                [EMPTY] = { .status = SOURCE_VALID, .state = MARK_NONE, .empty = true },
                [STALE] = { .status = SOURCE_VALID, .state = MARK_ARMED, .writable = true, .image = IMAGE_GONE },
                [READY] = { .status = SOURCE_VALID,
                            .state = MARK_ARMED,
                            .writable = true,
                            .image = IMAGE_PRESENT,
                            .kernel = FILE_PRESENT },
                [TAKEN] = { .status = SOURCE_VALID,
                            .state = MARK_TAKEN,
                            .writable = true,
                            .image = IMAGE_PRESENT,
                            .kernel = FILE_PRESENT },
                [SPENT] = { .status = SOURCE_VALID, .state = MARK_TAKEN, .writable = true, .image = IMAGE_GONE },
                [HINT_SPENT] = { .status = SOURCE_VALID,
                                 .state = MARK_TAKEN,
                                 .verify = MARK_VERIFY_HINT,
                                 .writable = true,
                                 .kernel = FILE_PRESENT },
                [NO_KERNEL] = { .status = SOURCE_VALID,
                                .state = MARK_ARMED,
                                .writable = true,
                                .image = IMAGE_PRESENT,
                                .kernel = FILE_MISSING },
                [READ_ONLY] = { .status = SOURCE_VALID,
                                .state = MARK_ARMED,
                                .image = IMAGE_PRESENT,
                                .kernel = FILE_PRESENT },
                [DAMAGED] = { .status = SOURCE_DAMAGED },
                [FUTURE] = { .status = SOURCE_FUTURE },
                [ORPHAN] = { .status = SOURCE_VALID, .image = IMAGE_PRESENT, .kernel = FILE_PRESENT },
        };
        static const struct {
                enum facts env, bits, configured;
                enum verdict verdict;
                enum verdict_reason reason;
                size_t source;
        } all[] = {
                { NONE, READY, ORPHAN, VERDICT_RESUME, REASON_READY, 1 },
                { NONE, TAKEN, ORPHAN, VERDICT_OFFER, REASON_TRIED, 1 },
                { NONE, READ_ONLY, ORPHAN, VERDICT_OFFER, REASON_CANNOT_CONSUME, 1 },
                { NONE, NO_KERNEL, ORPHAN, VERDICT_NORMAL, REASON_KERNEL_GONE, 1 },
                { NONE, EMPTY, ORPHAN, VERDICT_OFFER, REASON_UNMARKED, 2 },
                { NONE, DAMAGED, ORPHAN, VERDICT_OFFER, REASON_UNMARKED, 2 },
                { NONE, FUTURE, ORPHAN, VERDICT_OFFER, REASON_UNMARKED, 2 },
                { NONE, DAMAGED, NONE, VERDICT_NORMAL, REASON_DAMAGED, 1 },
                { NONE, STALE, NONE, VERDICT_NORMAL, REASON_STALE, 1 },
                { NONE, SPENT, NONE, VERDICT_NORMAL, REASON_SPENT, 1 },
                { NONE, NONE, ORPHAN, VERDICT_OFFER, REASON_UNMARKED, 2 },
                { EMPTY, READY, NONE, VERDICT_RESUME, REASON_READY, 1 },
                { STALE, READY, NONE, VERDICT_RESUME, REASON_READY, 1 },
                { STALE, STALE, NONE, VERDICT_NORMAL, REASON_STALE, 0 },
                { STALE, DAMAGED, ORPHAN, VERDICT_OFFER, REASON_UNMARKED, 2 },
                { SPENT, READY, NONE, VERDICT_RESUME, REASON_READY, 1 },
                { DAMAGED, READY, NONE, VERDICT_RESUME, REASON_READY, 1 },
                { DAMAGED, TAKEN, NONE, VERDICT_OFFER, REASON_TRIED, 1 },
                /* What the first mark was about cannot be seen, so the second is about something else: its image is
                 * there. It is taken, too, so there are at most as many attempts as marks. */
                { HINT_SPENT, READY, NONE, VERDICT_RESUME, REASON_READY, 1 },
                { HINT_SPENT, TAKEN, NONE, VERDICT_OFFER, REASON_TRIED, 1 },
                { READY, READY, ORPHAN, VERDICT_RESUME, REASON_READY, 0 },
                { READY, TAKEN, ORPHAN, VERDICT_RESUME, REASON_READY, 0 },
                { TAKEN, READY, ORPHAN, VERDICT_OFFER, REASON_TRIED, 0 },
                { NO_KERNEL, READY, ORPHAN, VERDICT_NORMAL, REASON_KERNEL_GONE, 0 },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(all); i++) {
                struct source s[] = { facts[all[i].env], facts[all[i].bits], facts[all[i].configured] };

                s[0].kind = SOURCE_ENV;
                s[1].kind = SOURCE_BOOTBITS;
                s[2].kind = SOURCE_CONFIGURED;
                struct judgement j = judge(s, N_OF(s));
                if (j.verdict != all[i].verdict || j.reason != all[i].reason || j.source != all[i].source)
                        fail_row("row %zu: verdict %d, reason %d, source %zu", i, j.verdict, j.reason, j.source);
        }
}

/* ---- reading a block ---- */

/* A block of BEFORE, the mark that TEXT holds (if any), AFTER, and padding. */
static struct envblk make_block(const char *before, const char *mark, const char *after)
{
        static char buf[2048];
        size_t n = (size_t)snprintf(buf, sizeof(buf), "%s%s", ENVBLK_SIGNATURE, before);

        if (mark)
                n += (size_t)snprintf(buf + n, sizeof(buf) - n, "hib_mark=%.*s\n", MARK_WIDTH, mark);
        n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s", after);
        memset(buf + n, '#', sizeof(buf) - n);

        struct envblk block;
        assert_true(envblk_open(&block, buf, sizeof(buf)));
        return block;
}

static void test_read_block(void **state)
{
        struct refmark good = REF_GOOD, future = REF_GOOD, field = REF_GOOD, unknown = REF_GOOD, blank = REF_EMPTY;
        char armed[MARK_WIDTH], next[MARK_WIDTH], wrong[MARK_WIDTH], torn[MARK_WIDTH], odd[MARK_WIDTH],
                empty[MARK_WIDTH];

        (void)state;
        future.magic = "hib2";
        field.field[REF_KERNEL] = "/boot/../vmlinuz";
        unknown.state = "ready";
        ref_write(&good, armed);
        ref_write(&future, next);
        ref_write(&field, wrong);
        ref_write(&unknown, odd);
        ref_write(&blank, empty);
        memcpy(torn, armed, MARK_WIDTH);
        torn[200] ^= 1;

        const struct {
                const char *what, *before, *mark, *after;
                enum source_status status;
                enum slot_status slot;
        } blocks[] = {
                { "a mark", "", armed, "a=1\n", SOURCE_VALID, SLOT_FOUND },
                { "the empty mark", "", empty, "", SOURCE_VALID, SLOT_FOUND },
                { "no slot", "a=1\n", NULL, "", SOURCE_ABSENT, SLOT_MISSING },
                { "a newer format", "", next, "", SOURCE_FUTURE, SLOT_FOUND },
                { "a wrong field", "", wrong, "", SOURCE_DAMAGED, SLOT_FOUND },
                { "an unknown state", "", odd, "", SOURCE_DAMAGED, SLOT_FOUND },
                { "a wrong checksum", "", torn, "", SOURCE_DAMAGED, SLOT_FOUND },
                { "two of them", "", armed, "hib_mark=\n", SOURCE_DAMAGED, SLOT_DUPLICATE },
                { "another width", "hib_mark=hib1 armed\n", NULL, "", SOURCE_DAMAGED, SLOT_WIDTH },
                { "an older line that set finds first", "junk\nhib_mark=old\n", armed, "", SOURCE_DAMAGED,
                  SLOT_BROKEN },
                { "across two sectors",
                  "a=1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567\n",
                  armed, "", SOURCE_DAMAGED, SLOT_STRADDLES },
        };

        for (size_t i = 0; i < N_OF(blocks); i++) {
                struct envblk block = make_block(blocks[i].before, blocks[i].mark, blocks[i].after);
                enum slot_status slot = (enum slot_status)99;
                size_t at = 0;
                struct mark m;

                memset(&m, 0x55, sizeof(m));
                enum source_status s = source_read_block(&block, &m, &slot, &at);
                if (s != blocks[i].status || slot != blocks[i].slot)
                        fail_row("row \"%s\": status %d, slot %d", blocks[i].what, s, slot);
                if (slot == SLOT_FOUND)
                        assert_memory_equal(block.buf + at, blocks[i].mark, MARK_WIDTH);
                if (s == SOURCE_VALID) {
                        assert_int_equal(m.state, blocks[i].mark == armed ? MARK_ARMED : MARK_NONE);
                        assert_int_equal(m.empty, blocks[i].mark == empty);
                        assert_string_equal(m.id, m.empty ? "" : good.field[REF_ID]);
                }
        }
}

/* ---- reading a variable ---- */

static void test_read_text(void **state)
{
        struct refmark good = REF_GOOD, future = REF_GOOD, blank = REF_EMPTY;
        char armed[MARK_WIDTH + 1], next[MARK_WIDTH], empty[MARK_WIDTH];
        struct mark m;

        (void)state;
        future.magic = "hib2";
        ref_write(&good, armed);
        armed[MARK_WIDTH] = '\0';
        ref_write(&future, next);
        ref_write(&blank, empty);
        assert_int_equal(source_read_text(armed, MARK_WIDTH, &m), SOURCE_VALID);
        assert_int_equal(m.state, MARK_ARMED);
        assert_string_equal(m.id, good.field[REF_ID]);
        assert_int_equal(source_read_text(empty, MARK_WIDTH, &m), SOURCE_VALID);
        assert_true(m.empty);
        assert_int_equal(source_read_text(next, MARK_WIDTH, &m), SOURCE_FUTURE);
        assert_int_equal(source_read_text(NULL, 0, &m), SOURCE_ABSENT);
        assert_int_equal(source_read_text(armed, MARK_WIDTH + 1, &m), SOURCE_DAMAGED);
        for (size_t n = 1; n < MARK_WIDTH; n++)
                assert_int_equal(source_read_text(armed, n, &m), SOURCE_DAMAGED);
        armed[200] ^= 1;
        assert_int_equal(source_read_text(armed, MARK_WIDTH, &m), SOURCE_DAMAGED);
}

/* ASCII as UTF-16LE. */
static size_t widen(const char *text, uint8_t *to)
{
        size_t n = 0;

        for (; *text; text++) {
                to[n++] = (uint8_t)*text;
                to[n++] = 0;
        }
        return n;
}

#define LOCATION_UUID "0a1b2c3d-1111-2222-3333-444455556666"

static void test_read_location(void **state)
{
        enum location_error e = LOCATION_E_SIZE;
        uint8_t wide[400];
        struct mark m;
        size_t n;

        (void)state;
        memset(&m, 0x55, sizeof(m));
        n = widen("{\"uuid\":\"" LOCATION_UUID "\",\"offset\":7,\"kernelVersion\":\"6.1.0\"}", wide);
        assert_int_equal(source_read_location(wide, n, &m, &e), SOURCE_VALID);
        assert_int_equal(e, LOCATION_OK);
        assert_int_equal(m.state, MARK_ARMED);
        assert_false(m.empty);
        assert_string_equal(m.image, "UUID=" LOCATION_UUID);
        assert_int_equal(m.offset, 7);
        assert_int_equal(m.page_size, 4096);
        assert_string_equal(m.release, "6.1.0");
        assert_int_equal(m.verify, MARK_VERIFY_HEADER);
        assert_string_equal(m.id, "");
        assert_string_equal(m.time, "");
        assert_string_equal(m.fs_uuid, "");
        assert_string_equal(m.kernel, "");
        assert_string_equal(m.initrd, "");

        assert_int_equal(source_read_location(wide, n - 2, &m, &e), SOURCE_DAMAGED);
        assert_int_equal(e, LOCATION_E_SYNTAX);
        assert_int_equal(source_read_location(wide, n - 1, &m, NULL), SOURCE_DAMAGED);
        assert_int_equal(source_read_location(NULL, 0, &m, &e), SOURCE_ABSENT);
        assert_int_equal(e, LOCATION_OK);

        n = widen("{\"uuid\":\"" LOCATION_UUID "\",\"offset\":17592186044415}", wide);
        assert_int_equal(source_read_location(wide, n, &m, NULL), SOURCE_VALID);
        assert_int_equal(mark_image_start(&m), 17592186044415ULL * 4096);
        assert_string_equal(m.release, "");
}

/* ---- finding the files of a release ---- */

/* What was asked for, and what is there, both with a space around each. */
struct files {
        const char *there;
        char asked[4096];
};

static enum file_state look(void *data, const char *path)
{
        struct files *files = data;
        char word[MARK_PATH_MAX + 3];

        assert_int_equal(path[0], '/');
        snprintf(word, sizeof(word), " %s ", path);
        strncat(files->asked, word, sizeof(files->asked) - strlen(files->asked) - 1);
        return strstr(files->there, word) ? FILE_PRESENT : FILE_MISSING;
}

static void test_find_files(void **state)
{
        static const struct {
                const char *what, *release, *configured_kernel, *configured_initrd, *there;
                const char *kernel, *initrd;
                enum file_state kernel_state, initrd_state;
        } all[] = {
                { "Debian", "6.1", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5",
                  " /boot/vmlinuz-6.5  /boot/vmlinuz-6.1  /boot/initrd.img-6.5  /boot/initrd.img-6.1 ",
                  "/boot/vmlinuz-6.1", "/boot/initrd.img-6.1", FILE_PRESENT, FILE_PRESENT },
                { "Fedora", "6.1", "/vmlinuz-6.5", "/initramfs-6.5.img", " /vmlinuz-6.1  /initramfs-6.1.img ",
                  "/vmlinuz-6.1", "/initramfs-6.1.img", FILE_PRESENT, FILE_PRESENT },
                { "SUSE", "6.1", "/boot/vmlinuz-6.5", "/boot/initrd-6.5", " /boot/vmlinuz-6.1  /boot/initrd-6.1 ",
                  "/boot/vmlinuz-6.1", "/boot/initrd-6.1", FILE_PRESENT, FILE_PRESENT },
                { "Gentoo", "6.1", "/kernel-6.5", "/x", " /kernel-6.1  /initrd-6.1.gz ", "/kernel-6.1",
                  "/initrd-6.1.gz", FILE_PRESENT, FILE_PRESENT },
                { "the first name counts", "6.1", "/vmlinuz-6.5", "/x",
                  " /vmlinuz-6.1  /kernel-6.1  /initrd-6.1.img  /initrd-6.1 ", "/vmlinuz-6.1", "/initrd-6.1.img",
                  FILE_PRESENT, FILE_PRESENT },
                { "kernel gone", "6.1", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5",
                  " /boot/vmlinuz-6.5  /boot/initrd.img-6.1 ", "/boot/vmlinuz-6.1", "", FILE_MISSING, FILE_NOT_LOOKED },
                { "initrd gone", "6.1", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5",
                  " /boot/vmlinuz-6.1  /boot/initrd.img-6.5 ", "/boot/vmlinuz-6.1", "/boot/initrd.img-6.1",
                  FILE_PRESENT, FILE_MISSING },
                { "a system without initrds", "6.1", "/boot/vmlinuz-6.5", "", " /boot/vmlinuz-6.1 ",
                  "/boot/vmlinuz-6.1", "", FILE_PRESENT, FILE_NOT_LOOKED },
                { "another folder", "6.1", "/a/b/vmlinuz", "/c/initrd", " /a/b/vmlinuz-6.1  /a/b/initrd-6.1 ",
                  "/a/b/vmlinuz-6.1", "/a/b/initrd-6.1", FILE_PRESENT, FILE_PRESENT },
                { "no release", "", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5",
                  " /boot/vmlinuz-6.5  /boot/initrd.img-6.5 ", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5",
                  FILE_PRESENT, FILE_PRESENT },
                { "no release, kernel gone", "", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5", "", "/boot/vmlinuz-6.5",
                  "", FILE_MISSING, FILE_NOT_LOOKED },
                { "no release, initrd gone", "", "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5", " /boot/vmlinuz-6.5 ",
                  "/boot/vmlinuz-6.5", "/boot/initrd.img-6.5", FILE_PRESENT, FILE_MISSING },
                { "nothing configured", "6.1", "", "", " /vmlinuz-6.1 ", "", "", FILE_MISSING, FILE_NOT_LOOKED },
                { "nothing at all", "", "", "", "", "", "", FILE_MISSING, FILE_NOT_LOOKED },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(all); i++) {
                struct mark m, configured = { .fs_uuid = "1234-ABCD" };
                struct source facts = { .kind = SOURCE_SYSTEMD };
                struct files files = { .there = all[i].there };

                memset(&m, 0x55, sizeof(m));
                strcpy(m.release, all[i].release);
                strcpy(configured.kernel, all[i].configured_kernel);
                strcpy(configured.initrd, all[i].configured_initrd);
                source_find_files(&m, &configured, look, &files, &facts);
                if (strcmp(m.kernel, all[i].kernel) != 0 || strcmp(m.initrd, all[i].initrd) != 0 ||
                    facts.kernel != all[i].kernel_state || facts.initrd != all[i].initrd_state)
                        fail_row("%s: %s (%d), %s (%d)", all[i].what, m.kernel, facts.kernel, m.initrd, facts.initrd);
                assert_string_equal(m.fs_uuid, "1234-ABCD");
        }
}

/* A folder so long that some names fit and others do not: no name is cut. */
static void test_long_paths(void **state)
{
        (void)state;
        for (size_t len = 1; len < MARK_PATH_MAX; len++) {
                struct mark m = { .release = "6.1" }, configured = { .kernel = "/", .initrd = "/x" };
                struct source facts = { .kind = SOURCE_SYSTEMD };
                struct files files = { .there = "" };
                size_t room = MARK_PATH_MAX - len;

                memset(configured.kernel, 'd', len);
                configured.kernel[0] = configured.kernel[len - 1] = '/';
                strcpy(configured.kernel + len, "x");
                source_find_files(&m, &configured, look, &files, &facts);
                assert_int_equal(facts.kernel, FILE_MISSING);
                assert_int_equal(strlen(m.kernel), room >= strlen("vmlinuz-6.1") ? len + strlen("vmlinuz-6.1") : 0);
                assert_int_equal(strstr(files.asked, "vmlinuz-6.1 ") != NULL, room >= strlen("vmlinuz-6.1"));
                assert_int_equal(strstr(files.asked, "kernel-6.1 ") != NULL, room >= strlen("kernel-6.1"));
        }
}

/* ---- words ---- */

static void test_names(void **state)
{
        static const char *const names[REASON_COUNT] = {
                "nothing",     "ready",          "ready-hint", "stale",
                "no-device",   "not-readable",   "foreign",    "kernel-gone",
                "initrd-gone", "cannot-consume", "tried",      "spent",
                "unmarked",    "damaged",        "future",     "source-unreadable",
        };

        (void)state;
        for (int r = 0; r < REASON_COUNT; r++)
                assert_string_equal(verdict_reason_name((enum verdict_reason)r), names[r]);
        assert_string_equal(verdict_name(VERDICT_NORMAL), "normal");
        assert_string_equal(verdict_name(VERDICT_OFFER), "offer");
        assert_string_equal(verdict_name(VERDICT_RESUME), "resume");
        assert_string_equal(source_kind_name(SOURCE_ENV), "env");
        assert_string_equal(source_kind_name(SOURCE_BOOTBITS), "bootbits");
        assert_string_equal(source_kind_name(SOURCE_EFI), "efi");
        assert_string_equal(source_kind_name(SOURCE_SYSTEMD), "systemd");
        assert_string_equal(source_kind_name(SOURCE_CONFIGURED), "configured");
}

/* The boot loader shows the sentence in a menu and passes the word through its scripting language. */
static void test_texts(void **state)
{
        (void)state;
        for (int r = 0; r < REASON_COUNT; r++) {
                const char *text = verdict_reason_text((enum verdict_reason)r);
                const char *name = verdict_reason_name((enum verdict_reason)r);

                assert_true(strlen(text) > 10 && strlen(text) <= 79);
                for (const char *p = text; *p; p++)
                        if (*p < ' ' || *p > '~' || strchr("\"'\\$`%", *p))
                                fail_row("reason %d: character '%c' in \"%s\"", r, *p, text);
                assert_null(strchr(text, '.'));
                for (const char *p = name; *p; p++)
                        assert_true((*p >= 'a' && *p <= 'z') || *p == '-');
                for (int q = 0; q < r; q++) {
                        assert_string_not_equal(text, verdict_reason_text((enum verdict_reason)q));
                        assert_string_not_equal(name, verdict_reason_name((enum verdict_reason)q));
                }
        }
        assert_non_null(verdict_reason_text(REASON_COUNT));
        assert_non_null(verdict_reason_name(REASON_COUNT));
}

/* Only the page size that the mark names counts, whatever else stands in the area. */
static void test_look_at_page(void **state)
{
        static uint8_t page[IMAGE_PAGE_MAX];
        static const struct {
                const char *small, *large; /* signatures for pages of 4 and of 16 KiB */
                enum image_state as_small, as_large;
        } all[] = {
                { "", "", IMAGE_GONE, IMAGE_GONE },
                { "SWAPSPACE2", "", IMAGE_GONE, IMAGE_GONE },
                { "S1SUSPEND\0", "", IMAGE_PRESENT, IMAGE_GONE },
                { "", "S1SUSPEND\0", IMAGE_GONE, IMAGE_PRESENT },
                { "SWAPSPACE2", "S1SUSPEND\0", IMAGE_GONE, IMAGE_PRESENT },
                { "S1SUSPEND\0", "SWAPSPACE2", IMAGE_PRESENT, IMAGE_GONE },
                { "ULSUSPEND\0", "", IMAGE_FOREIGN, IMAGE_GONE },
                { "ULSUSPEND\0", "S1SUSPEND\0", IMAGE_FOREIGN, IMAGE_PRESENT },
        };
        struct image_header header;

        (void)state;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                memset(page, 0, sizeof(page));
                memcpy(page + 4096 - IMAGE_SIG_LEN, all[i].small, all[i].small[0] ? IMAGE_SIG_LEN : 0);
                memcpy(page + 16384 - IMAGE_SIG_LEN, all[i].large, all[i].large[0] ? IMAGE_SIG_LEN : 0);
                if (source_look_at_page(page, 4096, &header) != all[i].as_small ||
                    source_look_at_page(page, 16384, &header) != all[i].as_large)
                        fail_msg("row %zu: '%s', '%s'", i, all[i].small, all[i].large);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_source),
                cmocka_unit_test(test_every_combination_of_one_source),
                cmocka_unit_test(test_never_from_taken),
                cmocka_unit_test(test_once),
                cmocka_unit_test(test_less_is_never_more),
                cmocka_unit_test(test_only_kind_and_status_count_unless_valid),
                cmocka_unit_test(test_marks_are_judged_alike_in_every_store),
                cmocka_unit_test(test_every_pair),
                cmocka_unit_test(test_order_of_pairs_and_triples),
                cmocka_unit_test(test_five_at_random),
                cmocka_unit_test(test_silent_sources_change_nothing),
                cmocka_unit_test(test_a_tried_image_stops_the_search),
                cmocka_unit_test(test_env_boot_bits_configured),
                cmocka_unit_test(test_read_block),
                cmocka_unit_test(test_read_text),
                cmocka_unit_test(test_read_location),
                cmocka_unit_test(test_find_files),
                cmocka_unit_test(test_long_paths),
                cmocka_unit_test(test_look_at_page),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_texts),
        };

        return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
