// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tests/capi/guest.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__clang__)
#define RACES_WITH_MIGRATION __attribute__((no_sanitize("thread")))
#else
#define RACES_WITH_MIGRATION
#endif

enum { PAGE = TERN_TARGET_PAGE_BYTES, BURST = 32 };

// A page that is read while it is written is dirty and sent again: that race is the trade.
RACES_WITH_MIGRATION static void write_page(uint8_t* ram, uint64_t page) { ++ram[page * PAGE]; }

static int is_held(const struct guest* guest) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec < guest->held_until.tv_sec ||
         (now.tv_sec == guest->held_until.tv_sec && now.tv_nsec < guest->held_until.tv_nsec);
}

static void* guest_main(void* opaque) {
  struct guest* guest = opaque;
  pthread_mutex_lock(&guest->mutex);
  guest->thread_id = gettid();
  pthread_mutex_unlock(&guest->mutex);
  for (;;) {
    pthread_mutex_lock(&guest->mutex);
    guest->writing = 0;
    pthread_cond_broadcast(&guest->changed);
    while (!guest->quit && (guest->state != TERN_RUN_STATE_RUNNING || is_held(guest))) {
      if (guest->state == TERN_RUN_STATE_RUNNING)
        pthread_cond_timedwait(&guest->changed, &guest->mutex, &guest->held_until);
      else
        pthread_cond_wait(&guest->changed, &guest->mutex);
    }
    const int quit = guest->quit;
    guest->writing = 1;
    pthread_mutex_unlock(&guest->mutex);
    if (quit) return NULL;
    for (int i = 0; i < BURST; ++i) {
      write_page(guest->ram, guest->next_page);
      if (guest->tracking == GUEST_MARKS)
        tern_tracker_mark(guest->tracker, 0, guest->next_page * PAGE, 1);
      if (++guest->next_page < GUEST_PAGES) continue;
      guest->next_page = 0;
      __atomic_add_fetch(&guest->rounds, 1, __ATOMIC_RELAXED);
    }
  }
}

/* ---- vCPUs */

static int run_state(void* user) { return guest_state(user); }

static int pause_all(void* user, int state, int* before, tern_error** error) {
  struct guest* guest = user;
  (void)error;
  pthread_mutex_lock(&guest->mutex);
  *before = guest->state;
  guest->state = state;
  while (guest->writing) pthread_cond_wait(&guest->changed, &guest->mutex);
  pthread_mutex_unlock(&guest->mutex);
  return TERN_OK;
}

static void set_state(void* user, int state) {
  struct guest* guest = user;
  pthread_mutex_lock(&guest->mutex);
  guest->state = state;
  pthread_cond_broadcast(&guest->changed);
  pthread_mutex_unlock(&guest->mutex);
}

static int resume_all(void* user, tern_error** error) {
  (void)error;
  set_state(user, TERN_RUN_STATE_RUNNING);
  return TERN_OK;
}

static uint32_t vcpu_count(void* user) {
  (void)user;
  return 1;
}

static void hold_vcpu(void* user, uint32_t vcpu, int64_t ns) {
  struct guest* guest = user;
  (void)vcpu;
  pthread_mutex_lock(&guest->mutex);
  clock_gettime(CLOCK_MONOTONIC, &guest->held_until);
  ns += guest->held_until.tv_nsec;
  guest->held_until.tv_sec += (time_t)(ns / 1000000000);
  guest->held_until.tv_nsec = (long)(ns % 1000000000);
  if (ns > 0) ++guest->holds;
  pthread_cond_broadcast(&guest->changed);
  pthread_mutex_unlock(&guest->mutex);
}

static void destroy(void* user) {
  struct guest* guest = user;
  pthread_mutex_lock(&guest->mutex);
  ++guest->destroyed;
  pthread_mutex_unlock(&guest->mutex);
}

/* ---- the device */

static int save(void* user, tern_device_writer* writer, tern_error** error) {
  const struct guest* guest = user;
  (void)error;
  tern_device_put_u64(writer, "next_page", guest->next_page);
  tern_device_begin_struct(writer, "inside", "capi/inside", 2);
  tern_device_put_u64(writer, "rounds", guest->rounds);
  tern_device_put_u32_array(writer, "registers", guest->registers, 4);
  tern_device_end_struct(writer);
  tern_device_put_buffer(writer, "name", "capi", 4);
  return TERN_OK;
}

static int load(void* user, tern_device_reader* reader, uint32_t version_id, tern_error** error) {
  struct guest* guest = user;
  const void* name = NULL;
  int code =
      version_id == 3 ? TERN_OK : tern_device_bad_value(reader, "version", "is not 3", error);
  if (guest->fail_load) {
    *error = tern_error_new(TERN_ERROR_DEVICE, "the device was told to refuse", 0);
    return TERN_ERROR_DEVICE;
  }
  if (code == TERN_OK) code = tern_device_get_u64(reader, "next_page", &guest->next_page, error);
  if (code == TERN_OK && guest->next_page >= GUEST_PAGES)
    code = tern_device_bad_value(reader, "next_page", "is outside the guest's range", error);
  if (code == TERN_OK) code = tern_device_get_u64(reader, "rounds", &guest->rounds, error);
  if (code == TERN_OK)
    code = tern_device_get_u32_array(reader, "registers", guest->registers, 4, error);
  if (code == TERN_OK) code = tern_device_get_buffer(reader, "name", 4, &name, error);
  if (code == TERN_OK && memcmp(name, "capi", 4) != 0)
    code = tern_device_bad_value(reader, "name", "is not capi", error);
  return code;
}

/* ---- events, unplug, network, and a tracker of our own: a byte for each page */

static void on_event(void* user, const tern_event* event) {
  struct guest* guest = user;
  if (event->type != TERN_EVENT_STATUS) return;
  pthread_mutex_lock(&guest->mutex);
  if (guest->event_count < GUEST_EVENTS) guest->events[guest->event_count++] = event->status;
  pthread_cond_broadcast(&guest->changed);
  pthread_mutex_unlock(&guest->mutex);
}

static int request_unplug(void* user, tern_error** error) {
  (void)error;
  __atomic_store_n(&((struct guest*)user)->unplug_asked, 1, __ATOMIC_SEQ_CST);
  return TERN_OK;
}
static int unplugged(void* user) {
  return __atomic_load_n(&((struct guest*)user)->unplug_asked, __ATOMIC_SEQ_CST);
}
static void plug_back(void* user) {
  __atomic_store_n(&((struct guest*)user)->plugged_back, 1, __ATOMIC_SEQ_CST);
}

static void announce(void* user, const char* const* interfaces, size_t count) {
  struct guest* guest = user;
  (void)interfaces;
  pthread_mutex_lock(&guest->mutex);
  if (count == 0) ++guest->announced;
  pthread_cond_broadcast(&guest->changed);
  pthread_mutex_unlock(&guest->mutex);
}

static int tracker_start(void* user, const tern_ram_block* blocks, size_t count,
                         tern_error** error) {
  struct guest* guest = user;
  const tern_ram_block* last = TERN_ELEMENT(tern_ram_block, blocks, count - 1);
  if (count != 1 || last->host != guest->ram || strcmp(last->idstr, "ram") != 0) {
    *error = tern_error_new(TERN_ERROR_INTERNAL, "these are not the guest's blocks", 0);
    return TERN_ERROR_INTERNAL;
  }
  for (int i = 0; i < GUEST_RAM_PAGES; ++i)
    __atomic_store_n(&guest->marked[i], 0, __ATOMIC_SEQ_CST);
  return TERN_OK;
}

static int tracker_harvest(void* user, tern_dirty_bitmap* into, tern_error** error) {
  struct guest* guest = user;
  (void)error;
  for (uint64_t i = 0; i < tern_dirty_bitmap_pages(into, 0); ++i) {
    if (__atomic_exchange_n(&guest->marked[i], 0, __ATOMIC_SEQ_CST) != 0)
      tern_dirty_bitmap_set_range(into, 0, i, 1);
  }
  return TERN_OK;
}

static int tracker_stop(void* user, tern_error** error) {
  (void)user;
  (void)error;
  return TERN_OK;
}

static void tracker_mark(void* user, size_t block, uint64_t offset, uint64_t bytes) {
  struct guest* guest = user;
  (void)block;
  for (uint64_t page = offset / PAGE; page * PAGE < offset + bytes; ++page)
    __atomic_store_n(&guest->marked[page], 1, __ATOMIC_SEQ_CST);
}

static int make_tracker(struct guest* guest, tern_error** error) {
  const tern_tracker_callbacks callbacks = {
      .size = sizeof callbacks,
      .user = guest,
      .destroy = destroy,
      .name = "marks",
      .start = tracker_start,
      .harvest = tracker_harvest,
      .stop = tracker_stop,
      .mark = tracker_mark,
  };
  if (guest->tracking == GUEST_WRITE_PROTECTED) {
    const int code =
        tern_tracker_write_protect(TERN_WRITE_PROTECT_AUTOMATIC, NULL, &guest->tracker, NULL);
    if (code != TERN_ERROR_UNSUPPORTED) return code;
    printf("# no write protection here, the guest marks what it writes\n");
    guest->tracking = GUEST_MARKS;
  }
  if (guest->tracking == GUEST_UNTRACKED) return TERN_OK;
  if (guest->tracking == GUEST_COUNTED)
    return tern_tracker_write_protect(TERN_WRITE_PROTECT_SYNC, NULL, &guest->tracker, error);
  return tern_tracker_custom(&callbacks, &guest->tracker, error);
}

static int make_machine(struct guest* guest, unsigned has, tern_error** error) {
  const tern_ram_block ram = {
      .size = sizeof ram, .idstr = "ram", .host = guest->ram, .used_bytes = GUEST_RAM_PAGES * PAGE};
  const tern_vcpu_callbacks vcpus = {
      .size = sizeof vcpus,
      .user = guest,
      .destroy = destroy,
      .run_state = run_state,
      .pause_all = pause_all,
      .resume_all = resume_all,
      .set_stopped_state = set_state,
      .vcpu_count = vcpu_count,
      .hold_vcpu = hold_vcpu,
  };
  const tern_device_section device = {
      .size = sizeof device,
      .user = guest,
      .destroy = destroy,
      .idstr = "capi/guest",
      .version_id = 3,
      .save = save,
      .load = load,
  };
  const tern_event_callbacks events = {
      .size = sizeof events, .user = guest, .destroy = destroy, .on_event = on_event};
  const tern_unplug_device unplug = {.size = sizeof unplug,
                                     .user = guest,
                                     .id = "vfio0",
                                     .request_unplug = request_unplug,
                                     .unplugged = unplugged,
                                     .plug_back = plug_back};
  const tern_announcer_callbacks network = {
      .size = sizeof network, .user = guest, .announce = announce};
  const tern_machine_options options = {
      .size = sizeof options,
      .name = "capi",
      .ram = &ram,
      .ram_count = 1,
      .tracker = guest->tracker,
      .vcpus = &vcpus,
      .devices = &device,
      .device_count = 1,
      .unplug = &unplug,
      .unplug_count = (has & GUEST_HAS_UNPLUG) != 0 ? 1 : 0,
      .announcer = (has & GUEST_HAS_NETWORK) != 0 ? &network : NULL,
      .events = (has & GUEST_TELLS_EVENTS) != 0 ? &events : NULL,
  };
  return tern_machine_create(&options, &guest->machine, error);
}

struct guest* guest_new(int state, enum guest_tracking tracking, unsigned has) {
  struct guest* guest = calloc(1, sizeof *guest);
  if (guest == NULL) return NULL;
  guest->tracking = tracking;
  guest->state = state;
  guest->ram = mmap(NULL, GUEST_RAM_PAGES * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_mutex_init(&guest->mutex, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&guest->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (guest->ram == MAP_FAILED) return NULL;
  if (state == TERN_RUN_STATE_RUNNING) {
    for (uint64_t page = 0; page < GUEST_PAGES; ++page)
      memset(guest->ram + page * PAGE + 1, (int)(page % 251) + 1, PAGE - 1);
    for (uint32_t i = 0; i < 4; ++i) guest->registers[i] = 0x01020304u * (i + 1);
  }
  tern_error* error = NULL;
  if (make_tracker(guest, &error) != TERN_OK || make_machine(guest, has, &error) != TERN_OK) {
    fprintf(stderr, "no guest: %s\n", tern_error_message(error));
    return NULL;
  }
  if (pthread_create(&guest->thread, NULL, guest_main, guest) != 0) return NULL;
  if (guest->tracking != GUEST_COUNTED) return guest;
  pthread_mutex_lock(&guest->mutex);
  while (guest->thread_id == 0) pthread_cond_wait(&guest->changed, &guest->mutex);
  pthread_mutex_unlock(&guest->mutex);
  if (tern_tracker_set_vcpu_threads(guest->tracker, &guest->thread_id, 1, NULL) != TERN_OK)
    return NULL;
  return guest;
}

void guest_close(struct guest* guest) {
  pthread_mutex_lock(&guest->mutex);
  guest->quit = 1;
  pthread_cond_broadcast(&guest->changed);
  pthread_mutex_unlock(&guest->mutex);
  pthread_join(guest->thread, NULL);
  // The machine keeps its tracker: any order will do.
  tern_tracker_free(guest->tracker);
  tern_machine_free(guest->machine);
}

void guest_delete(struct guest* guest) {
  munmap(guest->ram, GUEST_RAM_PAGES * PAGE);
  pthread_cond_destroy(&guest->changed);
  pthread_mutex_destroy(&guest->mutex);
  free(guest);
}

int guest_state(struct guest* guest) {
  pthread_mutex_lock(&guest->mutex);
  const int state = guest->state;
  pthread_mutex_unlock(&guest->mutex);
  return state;
}

void guest_stop(struct guest* guest) {
  int before;
  pause_all(guest, TERN_RUN_STATE_PAUSED, &before, NULL);
}

void guest_resume(struct guest* guest) { resume_all(guest, NULL); }

void guest_wait_rounds(struct guest* guest, uint64_t rounds) {
  const uint64_t until = __atomic_load_n(&guest->rounds, __ATOMIC_RELAXED) + rounds;
  while (__atomic_load_n(&guest->rounds, __ATOMIC_RELAXED) < until) sched_yield();
}

void guest_wait_held(struct guest* guest) {
  pthread_mutex_lock(&guest->mutex);
  while (guest->holds == 0) pthread_cond_wait(&guest->changed, &guest->mutex);
  pthread_mutex_unlock(&guest->mutex);
}

void guest_wait_status(struct guest* guest, int status) {
  pthread_mutex_lock(&guest->mutex);
  for (int seen = 0;;) {
    while (seen < guest->event_count && guest->events[seen] != status) ++seen;
    if (seen < guest->event_count) break;
    pthread_cond_wait(&guest->changed, &guest->mutex);
  }
  pthread_mutex_unlock(&guest->mutex);
}

void guest_wait_announced(struct guest* guest, int times) {
  pthread_mutex_lock(&guest->mutex);
  while (guest->announced < times) pthread_cond_wait(&guest->changed, &guest->mutex);
  pthread_mutex_unlock(&guest->mutex);
}

int guest_wrong_pages(const struct guest* guest) {
  int wrong = 0;
  for (uint64_t page = 0; page < GUEST_PAGES; ++page) {
    const uint8_t* bytes = guest->ram + page * PAGE;
    const uint8_t expected = (uint8_t)(guest->rounds + (page < guest->next_page ? 1 : 0));
    const uint8_t fill = (uint8_t)(page % 251 + 1);
    if (bytes[0] != expected || bytes[1] != fill || bytes[PAGE - 1] != fill) ++wrong;
  }
  return wrong;
}
