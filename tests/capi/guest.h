// SPDX-License-Identifier: Apache-2.0
//
// A VM in plain C: RAM, one thread that writes it as its guest, one device. Knows nothing of
// migrations; what it gives tern are the callbacks of its machine.
//
// Byte 0 of every page is incremented in order, round after round. So wherever the guest stops, the
// memory and the device's two numbers (rounds, next page) prove that nothing was lost or repeated.
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tern/c/tern.h"

enum { GUEST_PAGES = 256, GUEST_RAM_PAGES = 1024, GUEST_EVENTS = 64 };

/// The last tells which vCPU wrote.
enum guest_tracking { GUEST_UNTRACKED, GUEST_WRITE_PROTECTED, GUEST_MARKS, GUEST_COUNTED };
/// What a machine has besides: event callbacks (not for a control plane), a device that must be
/// unplugged first and a network.
enum { GUEST_TELLS_EVENTS = 1, GUEST_HAS_UNPLUG = 2, GUEST_HAS_NETWORK = 4 };

struct guest {
  uint8_t* ram;
  tern_tracker* tracker;
  tern_machine* machine;
  enum guest_tracking tracking;

  pthread_t thread;
  pid_t thread_id;
  pthread_mutex_t mutex;  // guards what follows, up to the device
  pthread_cond_t changed;
  int state;    // enum tern_run_state
  int writing;  // the thread is in a burst of writes
  int quit;
  int holds;                   // how often the vCPU was held,
  struct timespec held_until;  // CLOCK_MONOTONIC
  int events[GUEST_EVENTS];    // statuses as they were told
  int event_count;
  int destroyed;  // how many tables were given back
  int fail_load;  // the device refuses
  int unplug_asked;
  int plugged_back;
  int announced;                    // rounds
  uint8_t marked[GUEST_RAM_PAGES];  // what the tracker of our own was told

  // The device: written by the guest's thread while it runs, by save and load while it is stopped.
  uint64_t next_page;
  uint64_t rounds;
  uint32_t registers[4];
};

/// Starts the thread and makes the machine. NULL and a line on stderr if that fails.
struct guest* guest_new(int state, enum guest_tracking tracking, unsigned has);
/// Ends the thread and frees the handles that are left. The memory stays until guest_delete.
void guest_close(struct guest* guest);
void guest_delete(struct guest* guest);

int guest_state(struct guest* guest);
void guest_stop(struct guest* guest);
void guest_resume(struct guest* guest);
void guest_wait_rounds(struct guest* guest, uint64_t rounds);
/// Blocks until its vCPU was held back.
void guest_wait_held(struct guest* guest);
/// Blocks until the status was told.
void guest_wait_status(struct guest* guest, int status);
/// Blocks until the network was told so many times where the guest is.
void guest_wait_announced(struct guest* guest, int times);
/// With the guest stopped: the number of pages that are not what the device says.
int guest_wrong_pages(const struct guest* guest);
