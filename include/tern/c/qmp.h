// SPDX-License-Identifier: Apache-2.0
//
// tern for C, the control plane: QMP for one VM. The conventions of the whole API stand in
// tern/c/tern.h.
#pragma once

#include "tern/c/base.h"
#include "tern/c/machine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- QMP ----------------------------------------------------------------------------------- */

/// What the VMM does for QMP besides migrating. Called on the thread that executes commands.
typedef struct tern_qmp_vm {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  const char* name;  ///< of the VM, for query-name; NULL for none
  int32_t kvm;       ///< the guest runs under KVM
  int32_t reserved;  ///< 0
  /// Required. The reply to `quit` is on its way; end the process soon. Called while the command
  /// runs: note it, and wait for nothing of the control plane here.
  void (*quit)(void* user);
  /// Required. The incoming migration failed and exit-on-error is in force: note it and end the
  /// process soon, from another thread. On a migration thread; of the control plane only
  /// tern_control_plane_stop may be called here. The error is valid during the call.
  void (*incoming_failed)(void* user, const tern_error* error);
} tern_qmp_vm;

/// Where ordinary commands run: the VMM's main loop, usually. Called on the threads that serve
/// connections, several at once.
typedef struct tern_qmp_dispatcher {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  /// Required. Call run(work) soon, on any thread but not inside this call; or drop(work) if the
  /// VMM is ending. Exactly one of them, once; it may be after tern_control_plane_free, which then
  /// leaves `destroy` to it.
  void (*post)(void* user, void (*run)(void* work), void (*drop)(void* work), void* work);
} tern_qmp_dispatcher;

/// What query-version says instead of tern's own version.
typedef struct tern_qmp_version {
  size_t size;
  uint32_t major;
  uint32_t minor;
  uint32_t micro;
  uint32_t reserved;  ///< 0
} tern_qmp_version;

typedef struct tern_control_plane_options {
  size_t size;
  /// Address to listen on from the beginning (a URI); "defer" waits for migrate-incoming; NULL or
  /// "": an ordinary start.
  const char* incoming;
  const tern_qmp_dispatcher* dispatcher;  ///< NULL: commands run on the threads that serve
  const tern_qmp_version* version;        ///< NULL: tern's
  const tern_settings* settings;          ///< copied; NULL: tern_settings_new_qmp()
  int32_t paused;                         ///< -S: do not start by itself
  int32_t no_exit_on_error;               ///< a failed incoming migration does not end the process
  int32_t events;                         ///< the capability `events` is on from the beginning
  int32_t reserved;                       ///< 0
} tern_control_plane_options;

/// QMP for one VM. Any thread, several at once. Owns the migrations it starts.
typedef struct tern_control_plane tern_control_plane;
/// `options` may be NULL. The machine has no event callbacks: QMP tells the events. Errors:
/// invalid_argument, resource_exhausted.
TERN_C_API int tern_control_plane_create(tern_machine* machine, const tern_qmp_vm* vm,
                                         const tern_control_plane_options* options,
                                         tern_control_plane** out, tern_error** error) TERN_NOTHROW;
/// Ends its migrations. All tern_control_plane_serve_unix calls must have returned.
TERN_C_API void tern_control_plane_free(tern_control_plane* plane) TERN_NOTHROW;
/// Starts the guest, or listens, as the options say. Errors: those of tern_destination_listen.
TERN_C_API int tern_control_plane_begin(tern_control_plane* plane, tern_error** error) TERN_NOTHROW;
/// Serves QMP on a Unix socket (mode 0600), one client after the other, until
/// tern_control_plane_stop. Blocks. Several threads may serve several paths. Errors: channel,
/// invalid_argument.
TERN_C_API int tern_control_plane_serve_unix(tern_control_plane* plane, const char* path,
                                             tern_error** error) TERN_NOTHROW;
/// Executes one request given as JSON text, as a negotiated client; the reply (an error of QMP,
/// too) is JSON text, freed with tern_free_string. Blocks while the command runs. Errors:
/// invalid_argument (NULL).
TERN_C_API int tern_control_plane_execute(tern_control_plane* plane, const char* request,
                                          char** reply, tern_error** error) TERN_NOTHROW;
/// Ends all tern_control_plane_serve_unix calls, now and later. NULL is fine.
TERN_C_API void tern_control_plane_stop(tern_control_plane* plane) TERN_NOTHROW;
/// The VMM was told to end from outside (SIGTERM): QMP's SHUTDOWN event. NULL is fine.
TERN_C_API void tern_control_plane_host_signal(tern_control_plane* plane) TERN_NOTHROW;
/// The guest ended by itself: run state and event. NULL is fine.
TERN_C_API void tern_control_plane_guest_shutdown(tern_control_plane* plane) TERN_NOTHROW;
/// From now on `migrate` is refused with `reason` (1..1000 bytes). Errors: invalid_argument,
/// failed_precondition (a migration runs).
TERN_C_API int tern_control_plane_add_blocker(tern_control_plane* plane, const char* reason,
                                              uint64_t* blocker, tern_error** error) TERN_NOTHROW;
/// Unknown ones are ignored. NULL is fine.
TERN_C_API void tern_control_plane_remove_blocker(tern_control_plane* plane,
                                                  uint64_t blocker) TERN_NOTHROW;

#ifdef __cplusplus
}
#endif
