// SPDX-License-Identifier: Apache-2.0
//
// tern for C, one migration: its statistics, the side that sends, the side that receives. The
// conventions of the whole API stand in tern/c/tern.h.
#pragma once

#include "tern/c/base.h"
#include "tern/c/machine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statistics ---------------------------------------------------------------------------- */

/// What a migration knew about itself at one moment. Statistics have the names of their path in
/// query-migrate: "ram.transferred", "x-tern.downtime-ns.last-pages". Immutable: any thread.
typedef struct tern_stats tern_stats;
TERN_C_API void tern_stats_free(tern_stats* stats) TERN_NOTHROW;
TERN_C_API int tern_stats_status(const tern_stats* stats) TERN_NOTHROW;  ///< enum tern_status
TERN_C_API int tern_stats_ending(const tern_stats* stats) TERN_NOTHROW;  ///< enum tern_ending
/// The first error in words; "" if there is none.
TERN_C_API const char* tern_stats_error(const tern_stats* stats) TERN_NOTHROW;
/// When the snapshot was made, on the machine's clock, ns.
TERN_C_API int64_t tern_stats_taken_at(const tern_stats* stats) TERN_NOTHROW;
/// Errors of the three: invalid_argument (no such name, another type), failed_precondition (not
/// known at that moment, as a downtime before there was one). _double takes integers, too.
TERN_C_API int tern_stats_get_u64(const tern_stats* stats, const char* name, uint64_t* value,
                                  tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_stats_get_double(const tern_stats* stats, const char* name, double* value,
                                     tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_stats_get_text(const tern_stats* stats, const char* name, char** value,
                                   tern_error** error) TERN_NOTHROW;
/// All that is known as one line of JSON, nested as in query-migrate.
TERN_C_API int tern_stats_json(const tern_stats* stats, char** json,
                               tern_error** error) TERN_NOTHROW;

/// One multifd channel of a snapshot. `peer` lives as long as the snapshot.
typedef struct tern_channel_stats {
  size_t size;
  const char* peer;           ///< "tcp:127.0.0.1:4444"
  uint64_t id;                ///< its number
  uint64_t bytes;             ///< on the channel, with headers
  uint64_t packets;           ///< with pages or without
  uint64_t syncs;             ///< of them those that carried SYNC
  uint64_t normal;            ///< pages with data
  uint64_t zero;              ///< pages of zeros in packets
  uint64_t compressed_pages;  ///< of the normal ones those that went compressed
} tern_channel_stats;
TERN_C_API size_t tern_stats_channel_count(const tern_stats* stats) TERN_NOTHROW;
/// Fills `channel`, whose size must be set. Errors: invalid_argument (index).
TERN_C_API int tern_stats_channel_at(const tern_stats* stats, size_t index,
                                     tern_channel_stats* channel, tern_error** error) TERN_NOTHROW;

/// One step of auto-converge: from `at_ms` after the migration began the vCPUs were held back for
/// this percentage of their time; 0: not any more.
typedef struct tern_throttle_step {
  size_t size;
  uint64_t at_ms;
  uint64_t percent;
} tern_throttle_step;
TERN_C_API size_t tern_stats_throttle_step_count(const tern_stats* stats) TERN_NOTHROW;
/// Fills `step`, whose size must be set. Errors: invalid_argument (index).
TERN_C_API int tern_stats_throttle_step_at(const tern_stats* stats, size_t index,
                                           tern_throttle_step* step,
                                           tern_error** error) TERN_NOTHROW;

enum tern_statistic_type {
  TERN_STATISTIC_INTEGER = 0,
  TERN_STATISTIC_REAL = 1,
  TERN_STATISTIC_TEXT = 2
};
/// One statistic as tern knows it. All texts live as long as the program.
typedef struct tern_statistic_info {
  size_t size;
  const char* name;
  const char* unit;  ///< "" for none
  const char* since;
  const char* help;
  int32_t type;  ///< enum tern_statistic_type
  int32_t reserved;
} tern_statistic_info;
TERN_C_API size_t tern_statistic_count(void) TERN_NOTHROW;
/// Fills `info`, whose size must be set. Errors: invalid_argument (index).
TERN_C_API int tern_statistic_at(size_t index, tern_statistic_info* info,
                                 tern_error** error) TERN_NOTHROW;
/// The index of a name. Errors: invalid_argument (unknown name).
TERN_C_API int tern_statistic_find(const char* name, size_t* index,
                                   tern_error** error) TERN_NOTHROW;
/// "int", "number", "str", or "unknown".
TERN_C_API const char* tern_statistic_type_name(int type) TERN_NOTHROW;

/* ---- the sending side ---------------------------------------------------------------------- */

/// One migration out of this process: create, start, watch, wait, free. Until the destination has
/// confirmed, every failure ends with the guest doing here what it did before. Any thread, several
/// at once; only _wait and _free block.
typedef struct tern_source tern_source;
/// `settings` are copied; NULL: tern_settings_new(). Errors: invalid_argument.
TERN_C_API int tern_source_create(tern_machine* machine, const tern_settings* settings,
                                  tern_source** out, tern_error** error) TERN_NOTHROW;
/// Cancels what still runs and waits for its threads.
TERN_C_API void tern_source_free(tern_source* source) TERN_NOTHROW;
/// Begins; whether the connection stands is told by statistics and events. Once per source. The
/// descriptor of an fd: address is tern's from the call on, whatever comes of it. Errors:
/// invalid_argument (an address that can never work), failed_precondition (started already),
/// resource_exhausted (no thread can be started).
TERN_C_API int tern_source_start(tern_source* source, const char* address,
                                 tern_error** error) TERN_NOTHROW;
/// Goes on from TERN_STATUS_PRE_SWITCHOVER. Errors: failed_precondition (the status is another).
TERN_C_API int tern_source_continue_from(tern_source* source, int paused_at,
                                         tern_error** error) TERN_NOTHROW;
/// Gives up. Errors: failed_precondition (nothing runs, or it is too late).
TERN_C_API int tern_source_cancel(tern_source* source, tern_error** error) TERN_NOTHROW;
/// Shuts the connection down as if the network had died. Errors: invalid_argument (NULL).
TERN_C_API int tern_source_yank(tern_source* source, tern_error** error) TERN_NOTHROW;
/// Takes the live settings (tern_setting_info.live) over, within 100 ms. Errors: invalid_argument.
TERN_C_API int tern_source_update(tern_source* source, const tern_settings* settings,
                                  tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_source_stats(const tern_source* source, tern_stats** out,
                                 tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_source_threads(const tern_source* source, tern_threads** out,
                                   tern_error** error) TERN_NOTHROW;
/// Blocks until it completed, failed or was cancelled. Errors: invalid_argument (NULL).
TERN_C_API int tern_source_wait(tern_source* source, tern_error** error) TERN_NOTHROW;

/* ---- the receiving side -------------------------------------------------------------------- */

/// One migration into this process: create, listen, wait for completed, free. The machine is
/// stopped (TERN_RUN_STATE_INMIGRATE) and tern runs it. After a failure it must not be run. Any
/// thread, several at once; only _wait and _free block.
typedef struct tern_destination tern_destination;
/// `settings` are copied; NULL: tern_settings_new(). Errors: invalid_argument.
TERN_C_API int tern_destination_create(tern_machine* machine, const tern_settings* settings,
                                       tern_destination** out, tern_error** error) TERN_NOTHROW;
/// Stops listening or loading and waits for its threads.
TERN_C_API void tern_destination_free(tern_destination* destination) TERN_NOTHROW;
/// Binds and waits for one migration. The descriptor of an fd: address is tern's from the call on,
/// whatever comes of it. Errors: invalid_argument, channel (cannot bind), failed_precondition
/// (listening already), resource_exhausted.
TERN_C_API int tern_destination_listen(tern_destination* destination, const char* address,
                                       tern_error** error) TERN_NOTHROW;
/// URIs of what is really bound (port 0 resolved); empty for fd and exec and when it is over.
TERN_C_API int tern_destination_listening(const tern_destination* destination, tern_strings** out,
                                          tern_error** error) TERN_NOTHROW;
/// Whether a guest that ran on the source starts by itself. Default: yes. Errors: invalid_argument.
TERN_C_API int tern_destination_set_autostart(tern_destination* destination, int on,
                                              tern_error** error) TERN_NOTHROW;
/// Takes the settings over that are live at a destination (tern_setting_info.live and acts_on):
/// read when the guest starts. Errors: invalid_argument.
TERN_C_API int tern_destination_update(tern_destination* destination, const tern_settings* settings,
                                       tern_error** error) TERN_NOTHROW;
/// With switchover-ack: delays the acknowledgement until it was released as often. Hold before
/// listening. Errors: invalid_argument (NULL).
TERN_C_API int tern_destination_hold_switchover(tern_destination* destination,
                                                tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_destination_release_switchover(tern_destination* destination,
                                                   tern_error** error) TERN_NOTHROW;
/// Shuts the connection down as if the network had died. Errors: invalid_argument (NULL).
TERN_C_API int tern_destination_yank(tern_destination* destination,
                                     tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_destination_stats(const tern_destination* destination, tern_stats** out,
                                      tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_destination_threads(const tern_destination* destination, tern_threads** out,
                                        tern_error** error) TERN_NOTHROW;
/// Blocks until it completed or failed. Errors: invalid_argument (NULL).
TERN_C_API int tern_destination_wait(tern_destination* destination,
                                     tern_error** error) TERN_NOTHROW;

/* ---- dirty rate ----------------------------------------------------------------------------- */

/// Measures how fast a machine dirties its memory, one measurement at a time, also while it
/// migrates. Any thread.
typedef struct tern_dirty_rate_meter tern_dirty_rate_meter;

enum tern_dirty_rate_mode {
  TERN_DIRTY_RATE_PAGE_SAMPLING = 0,  ///< compares samples of pages: needs no tracker
  TERN_DIRTY_RATE_DIRTY_RING = 1,     ///< by vCPU: needs a tracker that tells who wrote
  TERN_DIRTY_RATE_DIRTY_BITMAP = 2    ///< the different pages written: needs any other tracker
};
enum tern_dirty_rate_status {
  TERN_DIRTY_RATE_UNSTARTED = 0,
  TERN_DIRTY_RATE_MEASURING = 1,
  TERN_DIRTY_RATE_MEASURED = 2
};

typedef struct tern_dirty_rate_request {
  size_t size;
  uint32_t window_ms;        ///< 50..60000; 0: 1000
  uint32_t samples_per_gib;  ///< 128..16384, for sampling; 0: 512
  int32_t mode;              ///< enum tern_dirty_rate_mode
  uint32_t reserved;         ///< 0
} tern_dirty_rate_request;

typedef struct tern_dirty_rate_report {
  size_t size;
  int32_t status;       ///< enum tern_dirty_rate_status
  int32_t mode;         ///< of the measurement that runs or ran last
  int64_t start_ns;     ///< since the Unix epoch
  int64_t window_ns;    ///< asked for while measuring, then the real one
  int64_t bytes_per_s;  ///< once measured; -1: nothing could be measured
  int64_t low;          ///< sampling: 95 times of 100 the true rate is not below,
  int64_t high;         ///< nor above; -1: no bound is known
} tern_dirty_rate_report;

/// Uses the machine's RAM, tracker, clock and log. Errors: invalid_argument.
TERN_C_API int tern_dirty_rate_meter_create(tern_machine* machine, tern_dirty_rate_meter** out,
                                            tern_error** error) TERN_NOTHROW;
/// Ends a measurement that runs.
TERN_C_API void tern_dirty_rate_meter_free(tern_dirty_rate_meter* meter) TERN_NOTHROW;
/// `request` may be NULL: the defaults. Errors: failed_precondition (one runs), invalid_argument,
/// unsupported (the mode, with this tracker), resource_exhausted.
TERN_C_API int tern_dirty_rate_meter_start(tern_dirty_rate_meter* meter,
                                           const tern_dirty_rate_request* request,
                                           tern_error** error) TERN_NOTHROW;
/// Returns when no measurement runs.
TERN_C_API void tern_dirty_rate_meter_wait(const tern_dirty_rate_meter* meter) TERN_NOTHROW;
/// Set `size`; the rest is filled in. Errors: invalid_argument.
TERN_C_API int tern_dirty_rate_meter_report(const tern_dirty_rate_meter* meter,
                                            tern_dirty_rate_report* report,
                                            tern_error** error) TERN_NOTHROW;
/// Once measured, bytes per second of each vCPU (dirty-ring), of each RAM block (dirty-bitmap).
/// Returns how many there are and fills `rates` (may be NULL) as far as it goes.
TERN_C_API size_t tern_dirty_rate_meter_vcpus(const tern_dirty_rate_meter* meter, int64_t* rates,
                                              size_t count) TERN_NOTHROW;
TERN_C_API size_t tern_dirty_rate_meter_blocks(const tern_dirty_rate_meter* meter, int64_t* rates,
                                               size_t count) TERN_NOTHROW;
/// Why the last measurement came to nothing; free it with tern_free_string. "" if it did not.
/// Errors: invalid_argument, resource_exhausted.
TERN_C_API int tern_dirty_rate_meter_error(const tern_dirty_rate_meter* meter, char** text,
                                           tern_error** error) TERN_NOTHROW;

#ifdef __cplusplus
}
#endif
