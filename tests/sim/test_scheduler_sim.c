/* Scheduler and KV pool under random traffic, a fake model and a virtual clock. A failure prints
 * its seed and step; `test_scheduler_sim --seed N --steps N --trace` runs that one again and tells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/checks.h"
#include "sim/sim.h"
#include "sim/traffic.h"

/* ---- one server ----------------------------------------------------------------------------- */

static bool sim_open(struct sim *sim)
{
    pl_err err = { 0 };
    rng_seed(&sim->rng, sim->seed);
    sim_draw_machine(sim);
    if (sim->plant) { /* a machine on which every plant can grow */
        sim->runs_ahead = sim->plant == PLANT_WRONG_PICK;
        sim->failure_share = 0;
        sim->params = (struct scheduler_params){ .n_slots = 8, .step_tokens = 64,
                                                 .prefill_tokens = 32, .column_unit = 1,
                                                 .growth_pages = 1 };
        sim->stall_share = 0;
        sim->n_priorities = 1;
        sim->n_pages = sim->plant >= PLANT_WRONG_RESUME ? 28 : 120;
        sim->has_long_replies = sim->plant >= PLANT_WRONG_RESUME;
        if (sim->plant >= PLANT_WRONG_RESUME)
            sim->params.step_tokens = 16, sim->params.prefill_tokens = 3;
        if (sim->plant == PLANT_TOLD_TWICE) {
            sim->score_share = 0.3;
            sim->params.prefill_tokens = 7;
        }
        sim->n_vocab = 50;
        sim_draw_groups(sim);
        if (sim->plant == PLANT_SHORT_WINDOW) {
            sim->params.kv.n = 2;
            sim->params.kv.group[1] = (struct kv_group){ .window = 40, .n_pages = 200 };
            sim->params.chunk_pages = 1;
        }
        if (sim->plant != PLANT_WRONG_STATE)
            sim->params.kv.n_state_layers = sim->params.kv.n_states = 0;
        if (sim->plant == PLANT_WRONG_STATE)
            sim->params.kv = (struct kv_groups){ .n = 1, .group = { { .n_pages = sim->n_pages } },
                                                 .n_state_layers = 1,
                                                 .n_states = scheduler_n_states(&sim->params) };
    }
    const struct kv_groups *kv = &sim->params.kv;
    pl_status st = PL_OK;
    for (uint32_t g = 0; g < kv->n && !st; g++)
        st = kv_pool_open(&sim->pool[g], kv->group[g].n_pages, &err);
    if (!st && kv->n_states) st = kv_pool_open(&sim->states, kv->n_states, &err);
    if (st || !fake_kv_open(&sim->kv, kv) ||
        scheduler_open(&sim->scheduler, &sim->params, sim->pool, sim->states,
                       fake_kv_copy, &sim->kv, &err)) {
        SIM_FAIL(sim, "open: %.200s", err.text);
        return false;
    }
    if (sim->plant == PLANT_SHORT_WINDOW) sim->params.kv.group[1].window += PAGE_TOKENS;
    sim->kv.forgets_to_copy = sim->plant == PLANT_NO_COPY;
    if (sim->trace)
        printf("seed %llu: slots=%u step_tokens=%u prefill_tokens=%u prefill_first=%d "
               "no_prefix_cache=%d pages=%u vocab=%u groups=%u windows=%u,%u states=%u\n",
               (unsigned long long)sim->seed, sim->params.n_slots, sim->params.step_tokens,
               sim->params.prefill_tokens, sim->params.prefill_first, sim->params.no_prefix_cache,
               sim->n_pages, sim->n_vocab, kv->n, kv->group[1].window, kv->group[2].window,
               kv->n_states);
    return true;
}

static void sim_close(struct sim *sim)
{
    scheduler_close(sim->scheduler);
    for (uint32_t g = 0; g < sim->params.kv.n; g++) kv_pool_close(sim->pool[g]);
    kv_pool_close(sim->states);
    fake_kv_close(&sim->kv);
}

static void give_back_a_page_twice(struct sim *sim)
{
    const struct seq *q = scheduler_slot(sim->scheduler, 0);
    if (sim->step < 100 || !q || q->n_pages == 0) return;
    kv_pool_release(sim->pool[0], q->page[0][0]);
    sim->is_planted = true;
}

/* As if the index had answered with the first page of another prompt. All counts stay right. */
static void swap_a_found_page(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->n_admitted && !sim->is_planted; i++) {
        struct seq *q = step->admitted[i];
        for (uint32_t k = 0; k < sim->params.n_slots && q->n_cached >= PAGE_TOKENS; k++) {
            const struct seq *other = scheduler_slot(sim->scheduler, k);
            if (!other || other == q || other->n_computed < PAGE_TOKENS ||
                memcmp(other->token, q->token, PAGE_TOKENS * sizeof *q->token) == 0)
                continue;
            kv_pool_hold(sim->pool[0], other->page[0][0]);
            kv_pool_release(sim->pool[0], q->page[0][0]);
            q->page[0][0] = other->page[0][0];
            sim->is_planted = true;
            break;
        }
    }
}

/* As if the index had answered with what another sequence remembers. */
static void swap_a_found_state(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->batch.n_spans && !sim->is_planted; i++) {
        struct span *span = &step->span[i];
        const uint32_t other = step->span[(i + 1) % step->batch.n_spans].state_from;
        if (span->state_from == NO_STATE || other == NO_STATE || other == span->state_from)
            continue;
        span->state_from = other;
        sim->is_planted = true;
    }
}

/* A request that was paused, has resumed, and reads what it lost: one that has a page begun. */
static struct request *find_resumed(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        const struct seq *q = &r->seq;
        if (r->is_alive && q->state == SEQ_PREFILL && q->n_reached && !seq_wants_every_column(q) &&
            q->n_computed % PAGE_TOKENS && q->n_computed + 1 < q->n_prefill &&
            (q->n_computed + 1) % PAGE_TOKENS)
            return r;
    }
    return NULL;
}

static void skip_a_position(struct sim *sim)
{
    struct request *r = find_resumed(sim);
    if (!r) return;
    r->seq.n_computed++;
    r->seq.n_issued++;
    sim->is_planted = true;
}

/* Whoever would be the last to be paused. */
static void misjudge_the_oldest(struct sim *sim)
{
    struct request *first = NULL;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (r->is_running && (!first || sim_goes_before(r, first))) first = r;
    }
    if (first && first->seq.state == SEQ_DECODE) first->seq.rank = INT64_MAX;
}

static void forget_what_was_told(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        const struct seq *q = &r->seq;
        if (!r->is_alive || q->state != SEQ_PAUSED || !seq_wants_every_column(q)) continue;
        r->seq.n_reached = 0;
        sim->is_planted = true;
    }
}

/* Before a step is composed. */
static void plant_before(struct sim *sim)
{
    if (sim->n_in_flight || sim->is_planted) return;
    if (sim->plant == PLANT_WRONG_RESUME) skip_a_position(sim);
    if (sim->plant == PLANT_OLDEST_PAUSED) misjudge_the_oldest(sim);
    if (sim->plant == PLANT_TOLD_TWICE) forget_what_was_told(sim);
}

static void plant_bug(struct sim *sim, const struct step *step)
{
    if (sim->plant == PLANT_WRONG_STATE && !sim->is_planted) swap_a_found_state(sim, step);
    if (sim->plant == PLANT_SECOND_RELEASE && !sim->is_planted) give_back_a_page_twice(sim);
    if (sim->plant == PLANT_WRONG_PAGE && !sim->is_planted) swap_a_found_page(sim, step);
}

static void finish(struct sim *sim, struct request *r)
{
    check_reply(sim, r);
    check_usage(sim, r);
    sim->stats.n_finished++;
    if (sim->trace)
        printf("%llu: finish %llu cached=%u\n", (unsigned long long)sim->step,
               (unsigned long long)r->seq.id, r->seq.n_cached);
    sim_leave(sim, r);
}

static void take_score(struct sim *sim, struct request *r, uint32_t pos)
{
    if (pos != r->n_outs++)
        SIM_FAIL(sim, "request %llu: an output is missing", (unsigned long long)r->seq.id);
    if (r->n_outs == r->seq.n_prompt && !r->n_reply) finish(sim, r);
}

static void take_token(struct sim *sim, struct request *r, int32_t token)
{
    struct seq *q = &r->seq;
    q->token[q->n_tokens++] = token;
    if (q->n_tokens == q->n_prompt + r->n_reply) finish(sim, r);
}

/* The owner's part after a step: every row of an output is a reply token, or one more score or
 * hidden row. */
static void take_outputs(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->batch.n_outputs; i++) {
        const struct output *o = &step->batch.output[i];
        struct seq *q = step_seq(step, i);
        if (!q) continue;
        struct request *r = sim_request_of(q);
        for (uint32_t k = 0; k < o->n_cols; k++) {
            const uint32_t pos = step->batch.pos[o->first_col + k];
            if ((q->wants_every_logit || q->hidden) && pos < q->n_prompt) take_score(sim, r, pos);
            if (r->n_reply && pos + 1 >= q->n_prompt)
                take_token(sim, r, sim->picked[o->first_row + k]);
        }
    }
}

static bool is_anyone_there(const struct sim *sim)
{
    return scheduler_n_waiting(sim->scheduler) + scheduler_n_running(sim->scheduler) > 0;
}

/* Plans a step and hands it to the machine, if it has columns. */
static void launch(struct sim *sim)
{
    const struct step *step = scheduler_compose(sim->scheduler);
    plant_bug(sim, step);
    sim_audit(sim, "composed");
    sim->n_composed++;
    note_pauses(sim, step);
    note_starts(sim, step);
    check_admissions(sim, step);
    check_columns(sim, step);
    check_batch(sim, step);
    note_positions(sim);
    if (sim->trace)
        printf("%llu: t=%.1f %sadmitted=%u decode=%u prefill=%u waiting=%u\n",
               (unsigned long long)sim->step, sim->now, sim->n_in_flight ? "ahead " : "",
               step->n_admitted, step->n_decode_cols, step->n_prefill_cols,
               scheduler_n_waiting(sim->scheduler));
    if (step->batch.n_cols == 0) {
        if (!sim->n_in_flight && is_anyone_there(sim) && !is_any_stalled(sim))
            SIM_FAIL(sim, "someone waits for nothing");
        return;
    }
    sim->stats.n_ahead += sim->n_in_flight;
    sim->stats.n_cols += step->batch.n_cols;
    sim->now += 0.02 * step->batch.n_cols;
    machine_take(sim, step);
}

/* All that had a column in flight leave; what is in the pages then is not looked at again. */
static void fail_steps(struct sim *sim)
{
    for (uint32_t k = 0; k < sim->n_in_flight; k++) {
        const struct step *step = &sim_flight_at(sim, k)->step;
        for (uint32_t i = 0; i < step->batch.n_spans; i++) {
            if (!step->span_seq[i]) continue;
            sim->stats.n_failed++;
            sim_leave(sim, sim_request_of(step->span_seq[i]));
        }
    }
    scheduler_abandon(sim->scheduler);
    sim->n_in_flight = 0;
    sim_audit(sim, "abandoned");
}

static void land(struct sim *sim)
{
    const struct sim_flight *f = sim_flight_at(sim, 0);
    if (sim_chance(sim, sim->failure_share)) {
        fail_steps(sim);
        return;
    }
    machine_compute(sim);
    sim->oldest = (sim->oldest + 1) % MAX_IN_FLIGHT;
    sim->n_in_flight--;
    scheduler_commit(sim->scheduler);
    for (uint32_t i = 0; i < f->step.batch.n_spans; i++) {
        const struct span *span = &f->step.batch.span[i];
        struct seq *q = f->step.span_seq[i];
        if (q) count_prompt_cols(sim, sim_request_of(q), span->first_pos, span->n_cols);
    }
    note_positions(sim);
    sim_audit(sim, "committed");
    check_pages_are_merged(sim);
    take_outputs(sim, &f->step);
}

static void sim_step(struct sim *sim)
{
    if (!sim->n_in_flight) launch(sim);
    if (sim->runs_ahead && sim->n_in_flight && sim_flight_at(sim, 0)->is_all_picked &&
        scheduler_may_run_ahead(sim->scheduler))
        launch(sim);
    if (sim->n_in_flight && !sim->failure[0]) land(sim);
    sim->now += 1;
    sim->step++;
    sim_check_patience(sim);
}

/* Traffic for n_steps, then until all have left. */
static void sim_run(struct sim *sim, uint64_t n_steps)
{
    if (!sim_open(sim)) return;
    while (!sim->failure[0] && (sim->step < n_steps || is_anyone_there(sim))) {
        if (sim->step < n_steps) sim_arrivals(sim);
        sim_cancellations(sim);
        sim_stalls(sim);
        plant_before(sim);
        sim_step(sim);
    }
    for (uint32_t g = 0; g < sim->params.kv.n && !sim->failure[0]; g++) {
        const struct kv_pool_counts counts = kv_pool_counts(sim->pool[g]);
        if (counts.n_held + counts.n_reserved > 0)
            SIM_FAIL(sim, "all have left, %u pages of group %u are held and %u reserved",
                     counts.n_held, g, counts.n_reserved);
    }
    if (sim->states && !sim->failure[0] && kv_pool_counts(sim->states).n_held)
        SIM_FAIL(sim, "all have left, %u states are held", kv_pool_counts(sim->states).n_held);
}

static struct sim *make_sim(uint64_t seed, enum plant plant)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim) abort();
    sim->seed = seed;
    sim->plant = plant;
    return sim;
}

static void free_sim(struct sim *sim)
{
    sim_close(sim);
    free(sim);
}

/* ---- tests ---------------------------------------------------------------------------------- */

enum { N_SEEDS = 60, N_STEPS = 4000, N_PLANT_STEPS = 4000 };

static void add_stats(struct sim_stats *sum, const struct sim_stats *s)
{
    sum->n_finished += s->n_finished;
    sum->n_forks_shared += s->n_forks_shared;
    sum->n_cached_tokens += s->n_cached_tokens;
    sum->n_ahead += s->n_ahead;
    sum->n_removed_in_flight += s->n_removed_in_flight;
    sum->n_failed += s->n_failed;
    sum->n_passed += s->n_passed;
    sum->n_passed_at_cost += s->n_passed_at_cost;
    sum->n_taken_up += s->n_taken_up;
    sum->n_kept_pages += s->n_kept_pages;
    sum->n_unseen += s->n_unseen;
    sum->n_cached_behind += s->n_cached_behind;
    sum->n_states_found += s->n_states_found;
    sum->n_states_taken_up += s->n_states_taken_up;
    sum->n_states_kept += s->n_states_kept;
    sum->n_paused += s->n_paused;
    sum->n_resumed += s->n_resumed;
    sum->n_recomputed += s->n_recomputed;
    sum->n_stalled_paused += s->n_stalled_paused;
    sum->n_outs_after_pause += s->n_outs_after_pause;
    for (int i = 0; i <= SEQ_GONE; i++) {
        sum->n_cancelled_in[i] += s->n_cancelled_in[i];
        sum->n_paused_in[i] += s->n_paused_in[i];
    }
}

static void test_replies_do_not_depend_on_company(void **state)
{
    (void)state;
    struct sim_stats sum = { 0 };

    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct sim *sim = make_sim(seed, PLANT_NONE);
        sim_run(sim, N_STEPS);
        add_stats(&sum, &sim->stats);
        if (sim->failure[0])
            fail_msg("seed %llu step %llu: %s", (unsigned long long)seed,
                     (unsigned long long)sim->step, sim->failure);
        free_sim(sim);
    }
    /* The traffic reached what it is there for. */
    assert_true(sum.n_finished > 1000);
    assert_true(sum.n_forks_shared > 100);
    assert_true(sum.n_cached_tokens > 10000);
    assert_true(sum.n_ahead > 10000);
    assert_true(sum.n_removed_in_flight > 500);
    assert_true(sum.n_failed > 100);
    assert_true(sum.n_passed > 500);
    assert_true(sum.n_passed_at_cost > 100);
    assert_true(sum.n_taken_up > 1000);
    assert_true(sum.n_kept_pages > 10000);
    assert_true(sum.n_unseen > 1000000);
    assert_true(sum.n_cached_behind > 1000);
    assert_true(sum.n_states_found > 500);
    assert_true(sum.n_states_taken_up > 50);
    assert_true(sum.n_states_kept > 1000);
    assert_true(sum.n_cancelled_in[SEQ_WAITING] > 100);
    assert_true(sum.n_cancelled_in[SEQ_PREFILL] > 100);
    assert_true(sum.n_cancelled_in[SEQ_DECODE] > 100);
    assert_true(sum.n_cancelled_in[SEQ_PAUSED] > 10);
    assert_true(sum.n_paused > 500);
    assert_true(sum.n_resumed > 500);
    assert_true(sum.n_recomputed > 50000);
    assert_true(sum.n_stalled_paused > 100);
    assert_true(sum.n_outs_after_pause > 500);
    assert_true(sum.n_paused_in[SEQ_PREFILL] > 5);
}

/* Runs seeds until the plant shows; `text` is part of the failure that must be reported. */
static void expect_found(enum plant plant, const char *text)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *sim = make_sim(seed, plant);
        sim_run(sim, N_PLANT_STEPS);
        if (!strstr(sim->failure, text))
            fail_msg("seed %llu step %llu: planted bug %d: wanted '%s', found '%s'",
                     (unsigned long long)seed, (unsigned long long)sim->step, plant, text,
                     sim->failure);
        free_sim(sim);
    }
}

static void test_finds_a_copy_not_made(void **state)
{
    (void)state;
    expect_found(PLANT_NO_COPY, "is not its own");
}

static void test_finds_a_page_given_back_twice(void **state)
{
    (void)state;
    expect_found(PLANT_SECOND_RELEASE, "composed: scheduler");
}

static void test_finds_a_wrong_page_of_the_index(void **state)
{
    (void)state;
    expect_found(PLANT_WRONG_PAGE, "is not its own");
}

static void test_finds_a_wrong_pick(void **state)
{
    (void)state;
    expect_found(PLANT_WRONG_PICK, "is not its own");
}

static void test_finds_a_wrong_state(void **state)
{
    (void)state;
    expect_found(PLANT_WRONG_STATE, "a state is not its own");
}

static void test_finds_a_page_given_back_too_early(void **state)
{
    (void)state;
    expect_found(PLANT_SHORT_WINDOW, "group 1: position");
}

static void test_finds_a_resume_at_a_wrong_position(void **state)
{
    (void)state;
    expect_found(PLANT_WRONG_RESUME, "is not its own");
}

static void test_finds_the_oldest_paused(void **state)
{
    (void)state;
    expect_found(PLANT_OLDEST_PAUSED, "M2: ");
}

static void test_finds_what_is_told_twice(void **state)
{
    (void)state;
    expect_found(PLANT_TOLD_TWICE, "computed again, the step says");
}

/* ---- seeds by hand -------------------------------------------------------------------------- */

static bool run_seed(uint64_t seed, uint64_t n_steps, bool trace)
{
    struct sim *sim = make_sim(seed, PLANT_NONE);
    sim->trace = trace;
    sim_run(sim, n_steps);
    const struct sim_stats *s = &sim->stats;
    printf("seed %llu: %llu steps, %llu columns, %llu requests, %llu finished, %llu cancelled, "
           "%llu forks shared, %llu pages copied, %llu tokens cached, %llu of them later, "
           "%llu passed, %llu steps ahead, %llu pauses, %llu tokens recomputed\n",
           (unsigned long long)seed, (unsigned long long)sim->step, (unsigned long long)s->n_cols,
           (unsigned long long)s->n_added, (unsigned long long)s->n_finished,
           (unsigned long long)s->n_cancelled, (unsigned long long)s->n_forks_shared,
           (unsigned long long)sim->kv.n_copied, (unsigned long long)s->n_cached_tokens,
           (unsigned long long)s->n_taken_up, (unsigned long long)s->n_passed,
           (unsigned long long)s->n_ahead, (unsigned long long)s->n_paused,
           (unsigned long long)s->n_recomputed);
    const bool is_right = !sim->failure[0];
    if (!is_right) printf("step %llu: %s\n", (unsigned long long)sim->step, sim->failure);
    free_sim(sim);
    return is_right;
}

static int run_seeds(int argc, char **argv)
{
    uint64_t seed = 1, n_seeds = 1, n_steps = N_STEPS;
    bool trace = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            n_seeds = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            n_steps = strtoull(argv[++i], NULL, 0);
        } else {
            fprintf(stderr, "usage: %s [--seed FIRST] [--seeds N] [--steps N] [--trace]\n",
                    argv[0]);
            return 2;
        }
    }
    for (; n_seeds; n_seeds--, seed++)
        if (!run_seed(seed, n_steps, trace)) return 1;
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_do_not_depend_on_company),
        cmocka_unit_test(test_finds_a_copy_not_made),
        cmocka_unit_test(test_finds_a_page_given_back_twice),
        cmocka_unit_test(test_finds_a_wrong_page_of_the_index),
        cmocka_unit_test(test_finds_a_wrong_pick),
        cmocka_unit_test(test_finds_a_page_given_back_too_early),
        cmocka_unit_test(test_finds_a_wrong_state),
        cmocka_unit_test(test_finds_a_resume_at_a_wrong_position),
        cmocka_unit_test(test_finds_the_oldest_paused),
        cmocka_unit_test(test_finds_what_is_told_twice),
    };
    if (argc > 1) return run_seeds(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
