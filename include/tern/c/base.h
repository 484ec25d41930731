// SPDX-License-Identifier: Apache-2.0
//
// tern for C, the ground: version, errors, texts, words, addresses, settings, log and clock. The
// conventions of the whole API stand in tern/c/tern.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tern/version.h"

#if defined(__GNUC__)
#define TERN_C_API __attribute__((visibility("default")))
#else
#define TERN_C_API
#endif
#ifdef __cplusplus
#define TERN_NOTHROW noexcept
#else
#define TERN_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version ------------------------------------------------------------------------------- */

/// The version of the library that is loaded ("0.4.0"); TERN_VERSION_STRING is that of the headers.
TERN_C_API const char* tern_version_string(void) TERN_NOTHROW;
/// The same as numbers; each pointer may be NULL.
TERN_C_API void tern_version(uint32_t* major, uint32_t* minor, uint32_t* micro) TERN_NOTHROW;

/* ---- errors -------------------------------------------------------------------------------- */

/// Says who should act on an error (tern/result.h).
enum tern_code {
  TERN_OK = 0,
  TERN_ERROR_INVALID_ARGUMENT = 1,     ///< the caller passed something that can never work
  TERN_ERROR_FAILED_PRECONDITION = 2,  ///< right call, wrong state
  TERN_ERROR_UNSUPPORTED = 3,          ///< this kernel, machine, peer or version of tern cannot
  TERN_ERROR_PEER_PROTOCOL = 4,        ///< the peer or file sent something malformed or hostile
  TERN_ERROR_CHANNEL = 5,              ///< the link failed: reset, closed, refused
  TERN_ERROR_TIMED_OUT = 6,            ///< a named deadline passed
  TERN_ERROR_CANCELLED = 7,            ///< somebody asked for it
  TERN_ERROR_RESOURCE_EXHAUSTED = 8,   ///< memory, descriptors or a limit of tern
  TERN_ERROR_DEVICE = 9,               ///< a device or callback of the embedder refused
  TERN_ERROR_OUTCOME_UNKNOWN = 10,     ///< the link died after the peer may have taken the guest
  TERN_ERROR_INTERNAL = 11             ///< a bug of tern: please report
};

/// What went wrong. Immutable: any thread.
typedef struct tern_error tern_error;

/// An error to hand to tern from a callback. A code that is none (TERN_OK, too) becomes
/// TERN_ERROR_DEVICE; a NULL message is an empty one. `sys_errno`: errno where there was one, or 0.
TERN_C_API tern_error* tern_error_new(int code, const char* message, int sys_errno) TERN_NOTHROW;
TERN_C_API void tern_error_free(tern_error* error) TERN_NOTHROW;
/// TERN_OK for NULL.
TERN_C_API int tern_error_code(const tern_error* error) TERN_NOTHROW;
/// A sentence for people; "" for NULL.
TERN_C_API const char* tern_error_message(const tern_error* error) TERN_NOTHROW;
/// errno of the system call that failed, 0 if none did.
TERN_C_API int tern_error_errno(const tern_error* error) TERN_NOTHROW;
/// "peer_protocol"; "ok" for TERN_OK and "unknown" for what is no code.
TERN_C_API const char* tern_code_name(int code) TERN_NOTHROW;

/* ---- texts and lists ----------------------------------------------------------------------- */

/// Frees what a `char **` output was set to; NULL is fine.
TERN_C_API void tern_free_string(char* text) TERN_NOTHROW;

/// A list of texts. Immutable: any thread.
typedef struct tern_strings tern_strings;
TERN_C_API size_t tern_strings_count(const tern_strings* strings) TERN_NOTHROW;
/// NULL past the end.
TERN_C_API const char* tern_strings_at(const tern_strings* strings, size_t index) TERN_NOTHROW;
TERN_C_API void tern_strings_free(tern_strings* strings) TERN_NOTHROW;

/// The threads that ran for a migration at one moment. Immutable: any thread.
typedef struct tern_threads tern_threads;
TERN_C_API size_t tern_threads_count(const tern_threads* threads) TERN_NOTHROW;
/// As `ps -L` shows it, at most 15 characters. NULL past the end.
TERN_C_API const char* tern_threads_name(const tern_threads* threads, size_t index) TERN_NOTHROW;
/// The kernel's id (gettid). 0 past the end.
TERN_C_API int tern_threads_id(const tern_threads* threads, size_t index) TERN_NOTHROW;
TERN_C_API void tern_threads_free(tern_threads* threads) TERN_NOTHROW;

/* ---- words --------------------------------------------------------------------------------- */

/// QEMU's RunState.
enum tern_run_state {
  TERN_RUN_STATE_DEBUG = 0,
  TERN_RUN_STATE_INMIGRATE = 1,
  TERN_RUN_STATE_INTERNAL_ERROR = 2,
  TERN_RUN_STATE_IO_ERROR = 3,
  TERN_RUN_STATE_PAUSED = 4,
  TERN_RUN_STATE_POSTMIGRATE = 5,
  TERN_RUN_STATE_PRELAUNCH = 6,
  TERN_RUN_STATE_FINISH_MIGRATE = 7,
  TERN_RUN_STATE_RESTORE_VM = 8,
  TERN_RUN_STATE_RUNNING = 9,
  TERN_RUN_STATE_SAVE_VM = 10,
  TERN_RUN_STATE_SHUTDOWN = 11,
  TERN_RUN_STATE_SUSPENDED = 12,
  TERN_RUN_STATE_WATCHDOG = 13,
  TERN_RUN_STATE_GUEST_PANICKED = 14,
  TERN_RUN_STATE_COLO = 15
};
/// QEMU's MigrationStatus.
enum tern_status {
  TERN_STATUS_NONE = 0,
  TERN_STATUS_SETUP = 1,
  TERN_STATUS_WAIT_UNPLUG = 2,
  TERN_STATUS_ACTIVE = 3,
  TERN_STATUS_PRE_SWITCHOVER = 4,
  TERN_STATUS_DEVICE = 5,
  TERN_STATUS_POSTCOPY_DEVICE = 6,
  TERN_STATUS_POSTCOPY_ACTIVE = 7,
  TERN_STATUS_POSTCOPY_PAUSED = 8,
  TERN_STATUS_POSTCOPY_RECOVER_SETUP = 9,
  TERN_STATUS_POSTCOPY_RECOVER = 10,
  TERN_STATUS_COLO = 11,
  TERN_STATUS_CANCELLING = 12,
  TERN_STATUS_CANCELLED = 13,
  TERN_STATUS_FAILING = 14,
  TERN_STATUS_FAILED = 15,
  TERN_STATUS_COMPLETED = 16
};
/// How a migration ended, as far as the guest is concerned.
enum tern_ending {
  TERN_ENDING_NONE = 0,         ///< not ended
  TERN_ENDING_HANDED_OVER = 1,  ///< source: the destination confirmed
  TERN_ENDING_KEPT = 2,         ///< source: the guest does here what it did before
  TERN_ENDING_UNKNOWN = 3,      ///< source: the destination may have it; stopped and complete here
  TERN_ENDING_TAKEN = 4,        ///< destination: the guest is here
  TERN_ENDING_NOT_TAKEN = 5     ///< destination: the guest never ran here
};
enum tern_log_level {
  TERN_LOG_DEBUG = 0,
  TERN_LOG_INFO = 1,
  TERN_LOG_WARNING = 2,
  TERN_LOG_ERROR = 3
};

/// QEMU's or tern's word ("finish-migrate", "pre-switchover", "handed-over", "warning"); "unknown"
/// for a number that is none.
TERN_C_API const char* tern_run_state_name(int state) TERN_NOTHROW;
TERN_C_API const char* tern_status_name(int status) TERN_NOTHROW;
TERN_C_API const char* tern_ending_name(int ending) TERN_NOTHROW;
TERN_C_API const char* tern_log_level_name(int level) TERN_NOTHROW;
/// The other way. Errors: invalid_argument (no such word).
TERN_C_API int tern_run_state_from(const char* name, int* state, tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_status_from(const char* name, int* status, tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_ending_from(const char* name, int* ending, tern_error** error) TERN_NOTHROW;

/* ---- addresses ----------------------------------------------------------------------------- */

/// Addresses are text everywhere: a URI as QEMU writes it ("tcp:HOST:PORT", "unix:PATH",
/// "vsock:CID:PORT", "fd:NAME-OR-NUMBER", "exec:COMMAND"), or the JSON text of QMP's
/// MigrationAddress ('{"transport": "socket", "type": "unix", "path": …}'), which can say more.
///
/// Checks an address and gives its URI; `uri` may be NULL. Abstract unix names and the arguments of
/// exec have no exact URI. Errors: invalid_argument, naming what is wrong.
TERN_C_API int tern_address_to_uri(const char* address, char** uri,
                                   tern_error** error) TERN_NOTHROW;

/* ---- settings ------------------------------------------------------------------------------ */

/// QEMU's migration parameters and capabilities as one value, by their QMP names: "max-bandwidth",
/// "return-path" (docs/reference/parameters.md and capabilities.md). One thread at a time.
typedef struct tern_settings tern_settings;

/// The defaults of the C++ API (return-path is on).
TERN_C_API tern_settings* tern_settings_new(void) TERN_NOTHROW;
/// What QMP starts from: QEMU's defaults.
TERN_C_API tern_settings* tern_settings_new_qmp(void) TERN_NOTHROW;
/// NULL gives tern_settings_new().
TERN_C_API tern_settings* tern_settings_copy(const tern_settings* settings) TERN_NOTHROW;
TERN_C_API void tern_settings_free(tern_settings* settings) TERN_NOTHROW;

/// Sets one setting from text: numbers in decimal or 0x hex, sizes with the suffixes K M G T P E
/// (1024-based), "on" and "off", words of enumerations, "" for a text that is not set. The value is
/// checked alone. Errors: invalid_argument (unknown name, no value of its type, out of range,
/// belongs to QMP only).
TERN_C_API int tern_settings_set(tern_settings* settings, const char* name, const char* value,
                                 tern_error** error) TERN_NOTHROW;
/// The value as text that tern_settings_set takes; free it with tern_free_string. Errors:
/// invalid_argument (unknown name, belongs to QMP only).
TERN_C_API int tern_settings_get(const tern_settings* settings, const char* name, char** value,
                                 tern_error** error) TERN_NOTHROW;
/// Whether the settings go together: what tern_source_create checks. Errors: invalid_argument.
TERN_C_API int tern_settings_check(const tern_settings* settings, tern_error** error) TERN_NOTHROW;

enum tern_setting_type {
  TERN_SETTING_BOOLEAN = 0,
  TERN_SETTING_UINT8 = 1,
  TERN_SETTING_UINT32 = 2,
  TERN_SETTING_UINT64 = 3,
  TERN_SETTING_SIZE = 4,
  TERN_SETTING_ENUMERATION = 5,
  TERN_SETTING_STRING = 6
};
enum tern_acts_on { TERN_ACTS_ON_SOURCE = 0, TERN_ACTS_ON_DESTINATION = 1, TERN_ACTS_ON_BOTH = 2 };
/// One setting as tern knows it. All texts live as long as the program.
typedef struct tern_setting_info {
  size_t size;
  const char* name;
  const char* unit;   ///< "" for none
  const char* since;  ///< version of tern
  const char* help;
  const char* not_below;  ///< the parameter it may not be below, "" for none
  uint64_t min;           ///< of integers
  uint64_t max;
  size_t word_count;      ///< of enumerations: tern_setting_word
  size_t needs_count;     ///< capabilities that must be on: tern_setting_needs
  size_t excludes_count;  ///< capabilities that must be off: tern_setting_excludes
  int32_t type;           ///< enum tern_setting_type
  int32_t acts_on;        ///< enum tern_acts_on
  int32_t capability;     ///< a capability, otherwise a parameter
  int32_t qmp_only;       ///< known to QMP only ("events"): tern_settings does not have it
  int32_t unstable;
  int32_t deprecated;
  int32_t live;              ///< a change acts on a running migration (tern_source_update)
  int32_t before_listening;  ///< a destination reads it when it begins to listen
} tern_setting_info;

TERN_C_API size_t tern_setting_count(void) TERN_NOTHROW;
/// Fills `info`, whose size must be set. Errors: invalid_argument (index).
TERN_C_API int tern_setting_at(size_t index, tern_setting_info* info,
                               tern_error** error) TERN_NOTHROW;
/// The index of a name. Errors: invalid_argument (unknown name).
TERN_C_API int tern_setting_find(const char* name, size_t* index, tern_error** error) TERN_NOTHROW;
/// The n-th word of setting `index`; NULL past the end.
TERN_C_API const char* tern_setting_word(size_t index, size_t n) TERN_NOTHROW;
TERN_C_API const char* tern_setting_needs(size_t index, size_t n) TERN_NOTHROW;
TERN_C_API const char* tern_setting_excludes(size_t index, size_t n) TERN_NOTHROW;
/// QMP's word for a type ("size"), "unknown" for none.
TERN_C_API const char* tern_setting_type_name(int type) TERN_NOTHROW;
/// "source", "destination", "both", or "unknown".
TERN_C_API const char* tern_acts_on_name(int side) TERN_NOTHROW;
/// The value of x-peer-version that a QEMU machine name asks for ("pc-q35-8.2": "qemu-8.2"); NULL
/// for a name that asks for none.
TERN_C_API const char* tern_peer_version_of_machine(const char* machine) TERN_NOTHROW;

/* ---- log and clock ------------------------------------------------------------------------- */

/// Called on any tern thread, several at once; must not block for long nor call tern back.
typedef struct tern_log_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  /// Required. `level`: enum tern_log_level.
  void (*log)(void* user, int level, const char* message);
} tern_log_callbacks;

/// A clock of the embedder's, for tests. Called on any thread.
typedef struct tern_clock_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  int64_t (*now)(void* user);   ///< required: monotonic, ns
  int64_t (*wall)(void* user);  ///< required: since the Unix epoch, ns
} tern_clock_callbacks;

/// The clock tern uses otherwise: CLOCK_MONOTONIC and CLOCK_REALTIME, ns.
TERN_C_API int64_t tern_clock_now(void) TERN_NOTHROW;
TERN_C_API int64_t tern_clock_wall(void) TERN_NOTHROW;

#ifdef __cplusplus
}
#endif
