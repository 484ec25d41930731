// SPDX-License-Identifier: Apache-2.0
//
// An embedder of tern in plain C11: source and destination in one process, with guests that write
// all the time, by the engine and by QMP. Prints TAP, ends with 1 if anything failed.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/capi/guest.h"

static int checks_failed;  // in the case that runs
static int cases, cases_failed;
static char folder[] = "/tmp/tern-capi-XXXXXX";

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) {                                        \
      ++checks_failed;                                         \
      printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                          \
  } while (0)

/// The call succeeded; otherwise its error is shown. Frees the error.
#define CHECK_OK(call)                                                                 \
  do {                                                                                 \
    tern_error* error = NULL;                                                          \
    const int code = (call);                                                           \
    if (code != TERN_OK || error != NULL) {                                            \
      ++checks_failed;                                                                 \
      printf("# %s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, tern_code_name(code), \
             tern_error_message(error));                                               \
    }                                                                                  \
    tern_error_free(error);                                                            \
  } while (0)

static void run(const char* name, void (*body)(void)) {
  checks_failed = 0;
  body();
  ++cases;
  cases_failed += checks_failed != 0;
  printf("%s %d - %s\n", checks_failed != 0 ? "not ok" : "ok", cases, name);
  fflush(stdout);
}

static const char* socket_address(char* text, size_t size, const char* name) {
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
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, tracking, 1);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, 1);
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
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_WRITE_PROTECTED, 1);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, 1);
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
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_MARKS, 1);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, 1);
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

/* ---- QMP */

/// A VMM's main loop: works are queued by the threads that serve, and run by another one.
struct loop {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  void (*run[8])(void*);
  void (*drop[8])(void*);
  void* work[8];
  int count;
  int closed;
  int ran;
  int destroyed;
};

static void loop_post(void* user, void (*run_work)(void*), void (*drop_work)(void*), void* work) {
  struct loop* loop = user;
  pthread_mutex_lock(&loop->mutex);
  const int dropped = loop->closed || loop->count == 8;
  if (!dropped) {
    loop->run[loop->count] = run_work;
    loop->work[loop->count++] = work;
    pthread_cond_broadcast(&loop->changed);
  }
  pthread_mutex_unlock(&loop->mutex);
  if (dropped) drop_work(work);
}

static void* loop_main(void* opaque) {
  struct loop* loop = opaque;
  pthread_mutex_lock(&loop->mutex);
  while (!loop->closed || loop->count > 0) {
    if (loop->count == 0) {
      pthread_cond_wait(&loop->changed, &loop->mutex);
      continue;
    }
    --loop->count;
    void (*run_work)(void*) = loop->run[loop->count];
    void* work = loop->work[loop->count];
    ++loop->ran;
    pthread_mutex_unlock(&loop->mutex);
    run_work(work);
    pthread_mutex_lock(&loop->mutex);
  }
  pthread_mutex_unlock(&loop->mutex);
  return NULL;
}

static void loop_destroy(void* user) { ((struct loop*)user)->destroyed = 1; }

static void vm_quit(void* user) { __atomic_store_n((int*)user, 1, __ATOMIC_SEQ_CST); }
static void vm_incoming_failed(void* user, const tern_error* error) {
  (void)error;
  __atomic_store_n((int*)user, 2, __ATOMIC_SEQ_CST);
}

static tern_control_plane* plane_of(const struct guest* guest, const char* incoming,
                                    struct loop* loop, int* fate) {
  const tern_qmp_vm vm = {.size = sizeof vm,
                          .user = fate,
                          .name = "capi-vm",
                          .quit = vm_quit,
                          .incoming_failed = vm_incoming_failed};
  const tern_qmp_dispatcher dispatcher = {
      .size = sizeof dispatcher, .user = loop, .destroy = loop_destroy, .post = loop_post};
  const tern_qmp_version version = {.size = sizeof version, .major = 7, .minor = 2};
  const tern_control_plane_options options = {.size = sizeof options,
                                              .incoming = incoming,
                                              .dispatcher = loop != NULL ? &dispatcher : NULL,
                                              .version = &version};
  tern_control_plane* plane = NULL;
  CHECK_OK(tern_control_plane_create(guest->machine, &vm, &options, &plane, &error));
  CHECK_OK(tern_control_plane_begin(plane, &error));
  return plane;
}

/// Whether the reply to `request` has `text` in it.
static int replies(tern_control_plane* plane, const char* request, const char* text) {
  char* reply = NULL;
  CHECK_OK(tern_control_plane_execute(plane, request, &reply, &error));
  const int found = reply != NULL && strstr(reply, text) != NULL;
  if (!found) printf("# %s\n# gives %s\n", request, reply != NULL ? reply : "nothing");
  tern_free_string(reply);
  return found;
}

static void wait_status(tern_control_plane* plane, const char* status) {
  char wanted[64];
  snprintf(wanted, sizeof wanted, "\"status\":\"%s\"", status);
  for (;;) {
    char* reply = NULL;
    CHECK_OK(tern_control_plane_execute(plane, "{\"execute\":\"query-migrate\"}", &reply, &error));
    const int there = reply == NULL || strstr(reply, wanted) != NULL;
    const int failed = reply != NULL && strstr(reply, "\"failed\"") != NULL;
    if (failed) printf("# %s\n", reply);
    tern_free_string(reply);
    CHECK(!failed);
    if (there || failed) return;
    sched_yield();
  }
}

static void two_control_planes_migrate(void) {
  char address[128], request[256];
  int here_fate = 0, there_fate = 0;
  uint64_t blocker = 0;
  struct guest* here = guest_new(TERN_RUN_STATE_PRELAUNCH, GUEST_WRITE_PROTECTED, 0);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, 0);
  for (uint64_t page = 0; page < GUEST_PAGES; ++page)
    memset(here->ram + page * TERN_TARGET_PAGE_BYTES + 1, (int)(page % 251) + 1,
           TERN_TARGET_PAGE_BYTES - 1);
  tern_control_plane* source = plane_of(here, NULL, NULL, &here_fate);
  tern_control_plane* destination = plane_of(there, "defer", NULL, &there_fate);
  CHECK(guest_state(here) == TERN_RUN_STATE_RUNNING);
  CHECK(replies(source, "{\"execute\":\"query-name\"}", "capi-vm"));
  CHECK(replies(source, "{\"execute\":\"query-version\"}", "\"major\":7"));
  CHECK(replies(source, "no JSON", "\"error\""));

  socket_address(address, sizeof address, "qmp");
  snprintf(request, sizeof request,
           "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"%s\"}}", address);
  CHECK(replies(destination, request, "\"return\""));
  snprintf(request, sizeof request, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"%s\"}}",
           address);
  CHECK_OK(tern_control_plane_add_blocker(source, "a disk is being copied", &blocker, &error));
  CHECK(replies(source, request, "a disk is being copied"));
  tern_control_plane_remove_blocker(source, blocker);
  CHECK(replies(source, request, "\"return\""));
  wait_status(source, "completed");
  wait_status(destination, "completed");
  CHECK(replies(source, "{\"execute\":\"query-status\"}", "postmigrate"));
  CHECK(replies(destination, "{\"execute\":\"query-status\"}", "\"running\""));
  guest_wait_rounds(there, 1);
  CHECK(replies(destination, "{\"execute\":\"stop\"}", "\"return\""));
  CHECK(guest_wrong_pages(there) == 0);
  CHECK(replies(source, "{\"execute\":\"quit\"}", "\"return\""));
  CHECK(__atomic_load_n(&here_fate, __ATOMIC_SEQ_CST) == 1 && there_fate == 0);
  tern_control_plane_host_signal(destination);
  tern_control_plane_guest_shutdown(destination);
  tern_control_plane_free(source);
  tern_control_plane_free(destination);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

static void migrate_cancel_by_qmp(void) {
  char address[128], request[256];
  int here_fate = 0, there_fate = 0;
  struct guest* here = guest_new(TERN_RUN_STATE_RUNNING, GUEST_WRITE_PROTECTED, 0);
  struct guest* there = guest_new(TERN_RUN_STATE_INMIGRATE, GUEST_UNTRACKED, 0);
  socket_address(address, sizeof address, "qmp-cancel");
  tern_control_plane* source = plane_of(here, "", NULL, &here_fate);
  tern_control_plane* destination = plane_of(there, address, NULL, &there_fate);
  CHECK(replies(source,
                "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":1000}}",
                "\"return\""));
  snprintf(request, sizeof request, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"%s\"}}",
           address);
  CHECK(replies(source, request, "\"return\""));
  wait_status(source, "active");
  CHECK(replies(source, "{\"execute\":\"migrate_cancel\"}", "\"return\""));
  wait_status(source, "cancelled");
  CHECK(guest_state(here) == TERN_RUN_STATE_RUNNING);
  while (__atomic_load_n(&there_fate, __ATOMIC_SEQ_CST) == 0) sched_yield();
  CHECK(there_fate == 2);  // exit-on-error is in force
  guest_stop(here);
  CHECK(guest_wrong_pages(here) == 0);
  tern_control_plane_free(destination);
  tern_control_plane_free(source);
  guest_close(here);
  guest_close(there);
  guest_delete(here);
  guest_delete(there);
}

struct server {
  tern_control_plane* plane;
  char path[128];
  int code;
};

static void* serve(void* opaque) {
  struct server* server = opaque;
  server->code = tern_control_plane_serve_unix(server->plane, server->path, NULL);
  return NULL;
}

/// Sends a line and reads until a line has come; what came is in `text`.
static void talk(int fd, const char* line, char* text, size_t size) {
  size_t used = 0;
  if (line != NULL) CHECK(send(fd, line, strlen(line), 0) == (ssize_t)strlen(line));
  while (used + 1 < size && (used == 0 || text[used - 1] != '\n')) {
    const ssize_t got = recv(fd, text + used, size - 1 - used, 0);
    if (got <= 0) break;
    used += (size_t)got;
  }
  text[used] = '\0';
}

static void a_client_is_served_through_the_dispatcher(void) {
  char text[4096];
  int fate = 0;
  struct loop loop = {.count = 0};
  struct server server;
  pthread_t loop_thread, server_thread;
  pthread_mutex_init(&loop.mutex, NULL);
  pthread_cond_init(&loop.changed, NULL);
  struct guest* guest = guest_new(TERN_RUN_STATE_PRELAUNCH, GUEST_UNTRACKED, 0);
  server.plane = plane_of(guest, NULL, &loop, &fate);
  snprintf(server.path, sizeof server.path, "%s/monitor", folder);
  CHECK(pthread_create(&loop_thread, NULL, loop_main, &loop) == 0);
  CHECK(pthread_create(&server_thread, NULL, serve, &server) == 0);

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, server.path, strlen(server.path) + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  while (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) sched_yield();
  talk(fd, NULL, text, sizeof text);
  CHECK(strstr(text, "\"oob\"") != NULL);
  talk(fd, "{\"execute\":\"qmp_capabilities\"}\n", text, sizeof text);
  CHECK(strstr(text, "\"return\"") != NULL);
  talk(fd, "{\"execute\":\"query-status\"}\n", text, sizeof text);
  CHECK(strstr(text, "running") != NULL);
  close(fd);

  tern_control_plane_stop(server.plane);
  pthread_join(server_thread, NULL);
  CHECK(server.code == TERN_OK);
  pthread_mutex_lock(&loop.mutex);
  loop.closed = 1;
  pthread_cond_broadcast(&loop.changed);
  pthread_mutex_unlock(&loop.mutex);
  pthread_join(loop_thread, NULL);
  CHECK(loop.ran >= 1 && loop.destroyed == 0);
  tern_control_plane_free(server.plane);
  CHECK(loop.destroyed == 1);
  guest_close(guest);
  guest_delete(guest);
  pthread_cond_destroy(&loop.changed);
  pthread_mutex_destroy(&loop.mutex);
}

int main(void) {
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return 1;
  }
  run("names_and_versions", names_and_versions);
  run("a_null_is_an_error_and_no_crash", a_null_is_an_error_and_no_crash);
  run("settings_go_by_name", settings_go_by_name);
  run("a_writing_guest_moves_under_write_protection", a_writing_guest_moves_under_write_protection);
  run("a_writing_guest_moves_with_a_tracker_in_c", a_writing_guest_moves_with_a_tracker_in_c);
  run("a_cancel_gives_the_guest_back", a_cancel_gives_the_guest_back);
  run("a_device_that_refuses_is_named_on_both_sides", a_device_that_refuses_is_named_on_both_sides);
  run("two_control_planes_migrate", two_control_planes_migrate);
  run("migrate_cancel_by_qmp", migrate_cancel_by_qmp);
  run("a_client_is_served_through_the_dispatcher", a_client_is_served_through_the_dispatcher);
  printf("1..%d\n", cases);
  rmdir(folder);
  return cases_failed == 0 ? 0 : 1;
}
