// SPDX-License-Identifier: Apache-2.0
//
// An embedder of tern in plain C11: source and destination in one process, with guests that write
// all the time, by the engine and by QMP. Prints TAP, ends with 1 if anything failed.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/capi/check.h"
#include "tests/capi/guest.h"

int checks_failed;
static int cases, cases_failed;
static char folder[] = "/tmp/tern-capi-XXXXXX";

void run_case(const char* name, void (*body)(void)) {
  checks_failed = 0;
  body();
  ++cases;
  cases_failed += checks_failed != 0;
  printf("%s %d - %s\n", checks_failed != 0 ? "not ok" : "ok", cases, name);
  fflush(stdout);
}

const char* socket_address(char* text, size_t size, const char* name) {
  snprintf(text, size, "unix:%s/%s", folder, name);
  return text;
}

/* ---- cases */

static void names_and_versions(void) {
  uint32_t major = 99, minor = 99, micro = 99;
  int status = -1;
  tern_version(&major, &minor, &micro);
  CHECK(major == TERN_VERSION_MAJOR && minor == TERN_VERSION_MINOR && micro == TERN_VERSION_MICRO);
  CHECK(strcmp(tern_version_string(), TERN_VERSION_STRING) == 0);
  CHECK(strcmp(tern_status_name(TERN_STATUS_PRE_SWITCHOVER), "pre-switchover") == 0);
  CHECK(strcmp(tern_ending_name(77), "unknown") == 0);
  CHECK_OK(tern_status_from("completed", &status, &error));
  CHECK(status == TERN_STATUS_COMPLETED);
}

static void a_null_is_an_error_and_no_crash(void) {
  tern_error* error = NULL;
  tern_source* source = (tern_source*)&error;
  CHECK(tern_source_create(NULL, NULL, &source, &error) == TERN_ERROR_INVALID_ARGUMENT);
  CHECK(source == NULL);
  CHECK(tern_error_code(error) == TERN_ERROR_INVALID_ARGUMENT);
  CHECK(strcmp(tern_error_message(error), "machine is NULL") == 0);
  tern_error_free(error);
  CHECK(tern_source_start(NULL, "unix:/x", NULL) == TERN_ERROR_INVALID_ARGUMENT);
  CHECK(tern_machine_create(NULL, NULL, NULL) == TERN_ERROR_INVALID_ARGUMENT);
  tern_source_free(NULL);
  tern_error_free(NULL);
}

static void settings_go_by_name(void) {
  tern_settings* settings = tern_settings_new();
  char* text = NULL;
  CHECK_OK(tern_settings_set(settings, "max-bandwidth", "3M", &error));
  CHECK_OK(tern_settings_get(settings, "max-bandwidth", &text, &error));
  CHECK(text != NULL && strcmp(text, "3145728") == 0);
  tern_free_string(text);
  CHECK(tern_settings_set(settings, "downtime-limit", "9999999", NULL) ==
        TERN_ERROR_INVALID_ARGUMENT);
  tern_settings_free(settings);
}

static void check_statistics(const tern_source* source) {
  tern_stats* stats = NULL;
  uint64_t total = 0, normal = 0;
  char* text = NULL;
  CHECK_OK(tern_source_stats(source, &stats, &error));
  CHECK(tern_stats_status(stats) == TERN_STATUS_COMPLETED);
  CHECK(tern_stats_ending(stats) == TERN_ENDING_HANDED_OVER);
  CHECK(strcmp(tern_stats_error(stats), "") == 0);
  CHECK_OK(tern_stats_get_u64(stats, "ram.total", &total, &error));
  CHECK(total == GUEST_RAM_PAGES * TERN_TARGET_PAGE_BYTES);
  CHECK_OK(tern_stats_get_u64(stats, "ram.normal", &normal, &error));
  CHECK(normal >= GUEST_PAGES);
  CHECK_OK(tern_stats_get_text(stats, "x-tern.ending", &text, &error));
  CHECK(text != NULL && strcmp(text, "handed-over") == 0);
  tern_free_string(text);
  CHECK_OK(tern_stats_json(stats, &text, &error));
  CHECK(text != NULL && strstr(text, "\"ram\":{") != NULL);
  tern_free_string(text);
  CHECK(tern_stats_get_u64(stats, "ram.nothing", &total, NULL) == TERN_ERROR_INVALID_ARGUMENT);
  tern_stats_free(stats);
}

/// Its thread shows itself as soon as it runs.
static void check_threads(const tern_destination* destination) {
  for (int seen = 0; !seen; sched_yield()) {
    tern_threads* threads = NULL;
    CHECK_OK(tern_destination_threads(destination, &threads, &error));
    seen = tern_threads_count(threads) == 1;
    CHECK(!seen || strcmp(tern_threads_name(threads, 0), "mig/dst/listen") == 0);
    CHECK(!seen || tern_threads_id(threads, 0) > 0);
    CHECK(tern_threads_name(threads, 1) == NULL);
    tern_threads_free(threads);
  }
}

static void migrate_live(enum guest_tracking tracking, int tables) {
  char address[128];
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, tracking, GUEST_TELLS_EVENTS);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, GUEST_TELLS_EVENTS);
  tern_destination* destination = NULL;
  tern_source* source = NULL;
  tern_strings* bound = NULL;
  if (here == NULL || there == NULL) {
    ++checks_failed;
    return;
  }
  if (here->tracking != tracking) ++tables;  // the tracker of our own after all
  guest_wait_rounds(here, 3);

  CHECK_OK(tern_destination_create(there->machine, NULL, &destination, &error));
  CHECK_OK(tern_destination_set_autostart(destination, 0, &error));
  CHECK_OK(tern_destination_listen(destination, socket_address(address, sizeof address, "live"),
                                   &error));
  CHECK_OK(tern_destination_listening(destination, &bound, &error));
  CHECK(tern_strings_count(bound) == 1 && strcmp(tern_strings_at(bound, 0), address) == 0);
  tern_strings_free(bound);
  check_threads(destination);

  CHECK_OK(tern_source_create(here->machine, NULL, &source, &error));
  CHECK_OK(tern_source_start(source, address, &error));
  CHECK(tern_source_start(source, address, NULL) == TERN_ERROR_FAILED_PRECONDITION);
  CHECK_OK(tern_source_wait(source, &error));
  CHECK_OK(tern_destination_wait(destination, &error));
  check_statistics(source);

  CHECK(guest_state(here) == TERN_RUN_STATE_POSTMIGRATE);
  CHECK(guest_state(there) == TERN_RUN_STATE_PAUSED);
  CHECK(here->next_page == there->next_page && here->rounds == there->rounds);
  CHECK(memcmp(here->registers, there->registers, sizeof here->registers) == 0);
  CHECK(memcmp(here->ram, there->ram, GUEST_RAM_PAGES * TERN_TARGET_PAGE_BYTES) == 0);
  const int expected[] = {TERN_STATUS_SETUP, TERN_STATUS_ACTIVE, TERN_STATUS_DEVICE,
                          TERN_STATUS_COMPLETED};
  CHECK(here->event_count == 4 && memcmp(here->events, expected, sizeof expected) == 0);

  guest_resume(there);
  guest_wait_rounds(there, 2);
  guest_stop(there);
  CHECK(guest_wrong_pages(there) == 0);

  // The machine lives on in the two engines, and its tables with it.
  guest_close(here);
  guest_close(there);
  CHECK(here->destroyed == 0 && there->destroyed == 0);
  tern_source_free(source);
  tern_destination_free(destination);
  CHECK(here->destroyed == tables && there->destroyed == 3);
  guest_delete(here);
  guest_delete(there);
}

static void a_writing_guest_moves_under_write_protection(void) {
  migrate_live(GUEST_WRITE_PROTECTED, 3);
}

static void a_writing_guest_moves_with_a_tracker_in_c(void) { migrate_live(GUEST_MARKS, 4); }

/// A source whose page data cannot all be sent soon.
static tern_source* slow_source(const struct guest* guest, const char* address) {
  tern_settings* settings = tern_settings_new();
  tern_source* source = NULL;
  CHECK_OK(tern_settings_set(settings, "max-bandwidth", "1k", &error));
  CHECK_OK(tern_source_create(guest->machine, settings, &source, &error));
  CHECK_OK(tern_source_start(source, address, &error));
  tern_settings_free(settings);
  return source;
}

static void a_cancel_gives_the_guest_back(void) {
  char address[128];
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_WRITE_PROTECTED, GUEST_TELLS_EVENTS);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, GUEST_TELLS_EVENTS);
  tern_destination* destination = NULL;
  tern_stats* stats = NULL;
  CHECK_OK(tern_destination_create(there->machine, NULL, &destination, &error));
  CHECK_OK(tern_destination_listen(destination, socket_address(address, sizeof address, "cancel"),
                                   &error));
  tern_source* source = slow_source(here, address);
  guest_wait_status(here, TERN_STATUS_ACTIVE);
  CHECK_OK(tern_source_cancel(source, &error));
  CHECK_OK(tern_source_wait(source, &error));
  CHECK_OK(tern_destination_wait(destination, &error));
  CHECK_OK(tern_source_stats(source, &stats, &error));
  CHECK(tern_stats_status(stats) == TERN_STATUS_CANCELLED);
  CHECK(tern_stats_ending(stats) == TERN_ENDING_KEPT);
  tern_stats_free(stats);
  CHECK_OK(tern_destination_stats(destination, &stats, &error));
  CHECK(tern_stats_ending(stats) == TERN_ENDING_NOT_TAKEN);
  CHECK(strlen(tern_stats_error(stats)) > 0);
  tern_stats_free(stats);
  CHECK(guest_state(here) == TERN_RUN_STATE_RUNNING);
  CHECK(tern_source_cancel(source, NULL) == TERN_ERROR_FAILED_PRECONDITION);
  guest_wait_rounds(here, 1);
  guest_stop(here);
  CHECK(guest_wrong_pages(here) == 0);
  tern_source_free(source);
  tern_destination_free(destination);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

static void a_device_that_refuses_is_named_on_both_sides(void) {
  char address[128];
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_MARKS, GUEST_TELLS_EVENTS);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, GUEST_TELLS_EVENTS);
  tern_destination* destination = NULL;
  tern_source* source = NULL;
  tern_stats* stats = NULL;
  there->fail_load = 1;
  CHECK_OK(tern_destination_create(there->machine, NULL, &destination, &error));
  CHECK_OK(tern_destination_listen(destination, socket_address(address, sizeof address, "refuse"),
                                   &error));
  CHECK_OK(tern_source_create(here->machine, NULL, &source, &error));
  CHECK_OK(tern_source_start(source, address, &error));
  CHECK_OK(tern_source_wait(source, &error));
  CHECK_OK(tern_destination_wait(destination, &error));
  CHECK_OK(tern_destination_stats(destination, &stats, &error));
  CHECK(tern_stats_status(stats) == TERN_STATUS_FAILED);
  CHECK(strstr(tern_stats_error(stats), "capi/guest") != NULL);
  CHECK(strstr(tern_stats_error(stats), "the device was told to refuse") != NULL);
  printf("# %s\n", tern_stats_error(stats));
  tern_stats_free(stats);
  CHECK(guest_state(here) == TERN_RUN_STATE_RUNNING);
  tern_source_free(source);
  tern_destination_free(destination);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

static void a_switchover_waits_for_the_device_both_sides_and_the_operator(void) {
  char address[128];
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_WRITE_PROTECTED,
                                 GUEST_TELLS_EVENTS | GUEST_HAS_UNPLUG);
  struct guest* there =
      guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, GUEST_TELLS_EVENTS | GUEST_HAS_NETWORK);
  tern_settings* settings = tern_settings_new();
  tern_destination* destination = NULL;
  tern_source* source = NULL;
  CHECK_OK(tern_settings_set(settings, "pause-before-switchover", "on", &error));
  CHECK_OK(tern_settings_set(settings, "switchover-ack", "on", &error));
  CHECK_OK(tern_settings_set(settings, "announce-initial", "0", &error));
  CHECK_OK(tern_destination_create(there->machine, settings, &destination, &error));
  CHECK_OK(tern_destination_hold_switchover(destination, &error));
  CHECK_OK(tern_destination_listen(destination, socket_address(address, sizeof address, "both"),
                                   &error));
  CHECK_OK(tern_source_create(here->machine, settings, &source, &error));
  CHECK_OK(tern_source_start(source, address, &error));
  guest_wait_status(here, TERN_STATUS_ACTIVE);
  CHECK(__atomic_load_n(&here->unplug_asked, __ATOMIC_SEQ_CST));
  CHECK(tern_source_continue_from(source, TERN_STATUS_PRE_SWITCHOVER, NULL) ==
        TERN_ERROR_FAILED_PRECONDITION);
  CHECK_OK(tern_settings_set(settings, "downtime-limit", "2000", &error));
  CHECK_OK(tern_source_update(source, settings, &error));
  CHECK_OK(tern_destination_release_switchover(destination, &error));
  guest_wait_status(here, TERN_STATUS_PRE_SWITCHOVER);
  CHECK(guest_state(here) != TERN_RUN_STATE_RUNNING);
  CHECK_OK(tern_source_continue_from(source, TERN_STATUS_PRE_SWITCHOVER, &error));
  CHECK_OK(tern_source_wait(source, &error));
  CHECK_OK(tern_destination_wait(destination, &error));
  check_statistics(source);
  CHECK(guest_state(there) == TERN_RUN_STATE_RUNNING);
  guest_wait_announced(there, 2);
  CHECK(!__atomic_load_n(&here->plugged_back, __ATOMIC_SEQ_CST));
  guest_stop(there);
  CHECK(guest_wrong_pages(there) == 0);
  tern_settings_free(settings);
  tern_source_free(source);
  tern_destination_free(destination);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

static void a_vcpu_is_held_to_its_dirty_limit(void) {
  char address[128];
  tern_tracker* sync = NULL;
  if (tern_tracker_write_protect(TERN_WRITE_PROTECT_SYNC, NULL, &sync, NULL) != TERN_OK) {
    printf("# no write protection by faults here: nothing tells which vCPU wrote\n");
    return;
  }
  tern_tracker_free(sync);
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_COUNTED, GUEST_TELLS_EVENTS);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, GUEST_TELLS_EVENTS);
  CHECK(tern_machine_set_vcpu_dirty_limit(there->machine, -1, 1, NULL) == TERN_ERROR_UNSUPPORTED);
  CHECK(tern_machine_set_vcpu_dirty_limit(here->machine, 1, 1, NULL) ==
        TERN_ERROR_INVALID_ARGUMENT);
  CHECK(tern_machine_vcpu_dirty_limits(here->machine, NULL, 0) == 0);
  CHECK_OK(tern_machine_set_vcpu_dirty_limit(here->machine, -1, 1, &error));
  guest_wait_held(here);
  tern_vcpu_dirty_limit limit = {0};
  CHECK(tern_machine_vcpu_dirty_limits(here->machine, &limit, 1) == 1);
  CHECK(limit.vcpu == 0 && limit.limit_rate == 1);
  CHECK_OK(tern_machine_set_vcpu_dirty_limit(here->machine, 0, 0, &error));
  CHECK(tern_machine_vcpu_dirty_limits(here->machine, NULL, 0) == 0);
  guest_wait_rounds(here, 1);

  // And as a migration uses it.
  tern_settings* settings = tern_settings_new();
  tern_destination* destination = NULL;
  tern_source* source = NULL;
  CHECK_OK(tern_settings_set(settings, "dirty-limit", "on", &error));
  CHECK_OK(tern_destination_create(there->machine, NULL, &destination, &error));
  CHECK_OK(tern_destination_listen(destination, socket_address(address, sizeof address, "limit"),
                                   &error));
  CHECK_OK(tern_source_create(here->machine, settings, &source, &error));
  CHECK_OK(tern_source_start(source, address, &error));
  CHECK_OK(tern_source_wait(source, &error));
  CHECK_OK(tern_destination_wait(destination, &error));
  check_statistics(source);
  guest_stop(there);
  CHECK(guest_wrong_pages(there) == 0);
  tern_settings_free(settings);
  tern_source_free(source);
  tern_destination_free(destination);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

int main(void) {
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return 1;
  }
  run_case("names_and_versions", names_and_versions);
  run_case("a_null_is_an_error_and_no_crash", a_null_is_an_error_and_no_crash);
  run_case("settings_go_by_name", settings_go_by_name);
  run_case("a_writing_guest_moves_under_write_protection",
           a_writing_guest_moves_under_write_protection);
  run_case("a_writing_guest_moves_with_a_tracker_in_c", a_writing_guest_moves_with_a_tracker_in_c);
  run_case("a_cancel_gives_the_guest_back", a_cancel_gives_the_guest_back);
  run_case("a_device_that_refuses_is_named_on_both_sides",
           a_device_that_refuses_is_named_on_both_sides);
  run_case("a_switchover_waits_for_the_device_both_sides_and_the_operator",
           a_switchover_waits_for_the_device_both_sides_and_the_operator);
  run_case("a_vcpu_is_held_to_its_dirty_limit", a_vcpu_is_held_to_its_dirty_limit);
  run_qmp_cases();
  printf("1..%d\n", cases);
  rmdir(folder);
  return cases_failed == 0 ? 0 : 1;
}
