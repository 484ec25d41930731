// SPDX-License-Identifier: Apache-2.0
//
// The part of the C program that is driven by QMP: two control planes in one process, and a client
// on a socket whose commands run on a main loop.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/capi/check.h"
#include "tests/capi/guest.h"

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
  char address[128];
  const char* path;  // in it
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
  server.path = socket_address(server.address, sizeof server.address, "monitor") + strlen("unix:");
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

void run_qmp_cases(void) {
  run_case("two_control_planes_migrate", two_control_planes_migrate);
  run_case("migrate_cancel_by_qmp", migrate_cancel_by_qmp);
  run_case("a_client_is_served_through_the_dispatcher", a_client_is_served_through_the_dispatcher);
}
