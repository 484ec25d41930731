// SPDX-License-Identifier: Apache-2.0
//
// tern for C, the machine that migrates: RAM, dirty pages, trackers, devices, vCPUs. The
// conventions of the whole API stand in tern/c/tern.h.
#pragma once

#include "tern/c/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- objects -------------------------------------------------------------------------------- */

/// What settings name by an id: TLS credentials, secrets, lists of who may connect
/// (docs/reference/objects.md). Any thread. A machine that was given it keeps it alive.
typedef struct tern_object_store tern_object_store;
TERN_C_API tern_object_store* tern_object_store_new(void) TERN_NOTHROW;
TERN_C_API void tern_object_store_free(tern_object_store* store) TERN_NOTHROW;
/// Makes an object from "TYPE,id=ID,NAME=VALUE…", as QEMU's -object; ",," in a value is a comma.
/// Errors: invalid_argument, resource_exhausted.
TERN_C_API int tern_object_store_add(tern_object_store* store, const char* text,
                                     tern_error** error) TERN_NOTHROW;
/// A migration that uses it keeps it. Errors: invalid_argument (no such object).
TERN_C_API int tern_object_store_remove(tern_object_store* store, const char* id,
                                        tern_error** error) TERN_NOTHROW;
/// The ids. Errors: invalid_argument.
TERN_C_API int tern_object_store_ids(const tern_object_store* store, tern_strings** out,
                                     tern_error** error) TERN_NOTHROW;

/* ---- guest RAM and dirty pages ------------------------------------------------------------- */

/// The page that the stream counts in.
#define TERN_TARGET_PAGE_BYTES 4096

#define TERN_RAM_SHARED 1u  ///< MAP_SHARED; otherwise MAP_PRIVATE or anonymous
#define TERN_RAM_HAS_FD 2u  ///< `fd` and `fd_offset` say what is behind the mapping

/// A piece of guest RAM. The memory stays mapped, readable and writable while tern uses it.
typedef struct tern_ram_block {
  size_t size;
  const char* idstr;    ///< name on the wire, 1..255 bytes, unique in the machine
  void* host;           ///< aligned to TERN_TARGET_PAGE_BYTES
  uint64_t used_bytes;  ///< a multiple of TERN_TARGET_PAGE_BYTES, not 0
  uint64_t max_bytes;   ///< what a destination may resize it to; 0: not resizable
  uint64_t gpa;         ///< guest-physical address of the first byte
  uint64_t fd_offset;   ///< of `host` in `fd`
  int32_t fd;           ///< not owned; counts with TERN_RAM_HAS_FD only
  uint32_t flags;       ///< TERN_RAM_…
  uint32_t page_bytes;  ///< host page size; 0: 4096
  uint32_t reserved;    ///< 0
} tern_ram_block;

/// Element `index` of an array that tern passes to a callback: its elements may be longer than the
/// caller's idea of them.
#ifdef __cplusplus
#define TERN_ELEMENT(type, array, index) \
  (static_cast<const type*>(             \
      static_cast<const void*>(reinterpret_cast<const char*>(array) + (index) * (array)->size)))
#else
#define TERN_ELEMENT(type, array, index) \
  ((const type*)(const void*)((const char*)(array) + (size_t)(index) * (array)->size))
#endif

/// One bit per target page of every RAM block: which pages are to be sent. One thread at a time.
/// Blocks and pages that do not exist are never set.
typedef struct tern_dirty_bitmap tern_dirty_bitmap;
/// All bits clear. Errors: invalid_argument (the blocks).
TERN_C_API int tern_dirty_bitmap_create(const tern_ram_block* blocks, size_t count,
                                        tern_dirty_bitmap** out, tern_error** error) TERN_NOTHROW;
/// Does nothing to one that tern passed to a callback.
TERN_C_API void tern_dirty_bitmap_free(tern_dirty_bitmap* bitmap) TERN_NOTHROW;
TERN_C_API size_t tern_dirty_bitmap_blocks(const tern_dirty_bitmap* bitmap) TERN_NOTHROW;
TERN_C_API uint64_t tern_dirty_bitmap_pages(const tern_dirty_bitmap* bitmap,
                                            size_t block) TERN_NOTHROW;
/// Set bits over all blocks, and of one.
TERN_C_API uint64_t tern_dirty_bitmap_count(const tern_dirty_bitmap* bitmap) TERN_NOTHROW;
TERN_C_API uint64_t tern_dirty_bitmap_block_count(const tern_dirty_bitmap* bitmap,
                                                  size_t block) TERN_NOTHROW;
TERN_C_API int tern_dirty_bitmap_test(const tern_dirty_bitmap* bitmap, size_t block,
                                      uint64_t page) TERN_NOTHROW;
/// Sets (clears) the pages [first, first + count); returns how many became set (clear).
TERN_C_API uint64_t tern_dirty_bitmap_set_range(tern_dirty_bitmap* bitmap, size_t block,
                                                uint64_t first, uint64_t count) TERN_NOTHROW;
TERN_C_API uint64_t tern_dirty_bitmap_clear_range(tern_dirty_bitmap* bitmap, size_t block,
                                                  uint64_t first, uint64_t count) TERN_NOTHROW;
/// Ors 64 bits in: bit b is page word * 64 + b. Returns how many became set.
TERN_C_API uint64_t tern_dirty_bitmap_or_word(tern_dirty_bitmap* bitmap, size_t block,
                                              uint64_t word, uint64_t bits) TERN_NOTHROW;
/// Ors a map of the same shape in; `added` (may be NULL): how many became set. Errors:
/// invalid_argument (another shape).
TERN_C_API int tern_dirty_bitmap_or(tern_dirty_bitmap* bitmap, const tern_dirty_bitmap* other,
                                    uint64_t* added, tern_error** error) TERN_NOTHROW;
/// The first run of set bits at or after page `from`, at most `max_pages` long. Returns its length,
/// 0 if there is none; `first` may be NULL.
TERN_C_API uint64_t tern_dirty_bitmap_next_run(const tern_dirty_bitmap* bitmap, size_t block,
                                               uint64_t from, uint64_t max_pages,
                                               uint64_t* first) TERN_NOTHROW;
/// The bits of one block, 64 pages to a word, valid until the map changes; `count` may be NULL.
TERN_C_API const uint64_t* tern_dirty_bitmap_words(const tern_dirty_bitmap* bitmap, size_t block,
                                                   size_t* count) TERN_NOTHROW;

/// Sets the pages that may hold something other than zeros; the rest was never touched, and finding
/// that did not read it. Call it after the tracker was started. `method` (may be NULL): how
/// ("pagemap-scan", "pagemap", "seek-data", "mincore", "all", "mixed"). Errors: invalid_argument
/// (blocks, shape of the map), resource_exhausted.
TERN_C_API int tern_find_populated(const tern_ram_block* blocks, size_t count,
                                   tern_dirty_bitmap* into, const char** method,
                                   tern_error** error) TERN_NOTHROW;

/* ---- dirty trackers ------------------------------------------------------------------------ */

/// Tells which pages were written. One per VM. tern_tracker_mark and _name: any thread, any time; a
/// migration calls the rest on its own threads, so an embedder calls it only for a tracker that no
/// migration uses.
typedef struct tern_tracker tern_tracker;

/// A slot of KVM_SET_USER_MEMORY_REGION.
typedef struct tern_kvm_slot {
  size_t size;
  size_t block;     ///< index into the RAM blocks
  uint64_t offset;  ///< of the slot in that block, bytes
  uint64_t bytes;
  uint64_t gpa;
  uint32_t slot;   ///< number given to KVM
  uint32_t flags;  ///< it was created with, without KVM_MEM_LOG_DIRTY_PAGES
} tern_kvm_slot;

/// KVM's dirty log. `vm_fd` is not owned, the slots are copied, `log` may be NULL. Writes that do
/// not go through the guest must be told by tern_tracker_mark. Errors: invalid_argument,
/// unsupported.
TERN_C_API int tern_tracker_kvm_bitmap(int vm_fd, const tern_kvm_slot* slots, size_t slot_count,
                                       const tern_log_callbacks* log, tern_tracker** out,
                                       tern_error** error) TERN_NOTHROW;

/// How many entries a dirty ring may have. Errors: unsupported.
TERN_C_API int tern_kvm_dirty_ring_limit(int vm_fd, uint32_t* out, tern_error** error) TERN_NOTHROW;
/// Gives each vCPU a dirty ring: before the first vCPU is created. `entries`: a power of two from
/// 1024 to the limit. Errors: invalid_argument, unsupported, failed_precondition (too late).
TERN_C_API int tern_kvm_dirty_ring_enable(int vm_fd, uint32_t entries,
                                          tern_error** error) TERN_NOTHROW;
/// KVM's dirty rings, of all vCPUs in order of their numbers; the descriptors are not owned. No
/// other slot may have dirty logging on. Errors: invalid_argument, unsupported.
TERN_C_API int tern_tracker_kvm_ring(int vm_fd, const tern_kvm_slot* slots, size_t slot_count,
                                     const int* vcpu_fds, size_t vcpu_count, uint32_t entries,
                                     const tern_log_callbacks* log, tern_tracker** out,
                                     tern_error** error) TERN_NOTHROW;
/// To be called on the vCPU's thread when KVM_RUN returned KVM_EXIT_DIRTY_RING_FULL, before the
/// next KVM_RUN. Errors: invalid_argument (no such vCPU, not that kind of tracker), internal.
TERN_C_API int tern_tracker_ring_full(tern_tracker* tracker, uint32_t vcpu,
                                      tern_error** error) TERN_NOTHROW;
/// How often that was called. Any thread.
TERN_C_API uint64_t tern_tracker_ring_full_exits(const tern_tracker* tracker,
                                                 uint32_t vcpu) TERN_NOTHROW;

enum tern_write_protect_mode {
  TERN_WRITE_PROTECT_AUTOMATIC = 0,  ///< async if the kernel has it, otherwise sync
  TERN_WRITE_PROTECT_ASYNC = 1,      ///< WP_ASYNC and PAGEMAP_SCAN (Linux 6.7 and later)
  TERN_WRITE_PROTECT_SYNC = 2        ///< faults served by a thread (Linux 5.7; shared memory 5.19)
};
/// Writes of the threads of this process (not of KVM guests), by userfaultfd write protection.
/// `log` may be NULL. Errors: invalid_argument (mode), unsupported (what the kernel lacks or
/// forbids).
TERN_C_API int tern_tracker_write_protect(int mode, const tern_log_callbacks* log,
                                          tern_tracker** out, tern_error** error) TERN_NOTHROW;
/// Tells which threads of this process are vCPUs: element n is gettid() of vCPU n's. A tracker that
/// sees threads write (wp-sync) then counts by vCPU from its next start on; to others it means
/// nothing. Any thread.
TERN_C_API int tern_tracker_set_vcpu_threads(tern_tracker* tracker, const int* thread_ids,
                                             size_t count, tern_error** error) TERN_NOTHROW;
/// Whether tern_tracker_vcpu_dirty_pages tells anything once started.
TERN_C_API int tern_tracker_counts_vcpus(const tern_tracker* tracker) TERN_NOTHROW;
/// How many pages each vCPU was seen to write since the start; a page counts once per vCPU and time
/// that it was protected anew. Returns how many vCPUs there are, fills `pages` (may be NULL) as far
/// as it goes; 0: not started, or it cannot tell who wrote. Any thread.
TERN_C_API size_t tern_tracker_vcpu_dirty_pages(const tern_tracker* tracker, uint64_t* pages,
                                                size_t count) TERN_NOTHROW;
/// Knows only what tern_tracker_mark tells it.
TERN_C_API int tern_tracker_fed(tern_tracker** out, tern_error** error) TERN_NOTHROW;

/// A tracker of the embedder's. start, harvest and stop are called on one thread, one at a time.
typedef struct tern_tracker_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  const char* name;  ///< for logs and statistics; NULL: "custom"
  /// Required. Begins: every later write is caught by some harvest. The blocks stay valid until
  /// stop; go through them with TERN_ELEMENT.
  int (*start)(void* user, const tern_ram_block* blocks, size_t count, tern_error** error);
  /// Required. Sets the pages written since start or the last harvest. After an error every page
  /// counts as dirty.
  int (*harvest)(void* user, tern_dirty_bitmap* into, tern_error** error);
  /// Required, idempotent.
  int (*stop)(void* user, tern_error** error);
  /// Required. What tern_tracker_mark was told; any thread, must not block.
  void (*mark)(void* user, size_t block, uint64_t offset, uint64_t bytes);
  /// Both or neither: serves writers on a thread of its own between start and stop, until
  /// stop_service is called on another (perhaps just before it begins: it then returns at once).
  int (*run_service)(void* user, tern_error** error);
  void (*stop_service)(void* user);
} tern_tracker_callbacks;
TERN_C_API int tern_tracker_custom(const tern_tracker_callbacks* callbacks, tern_tracker** out,
                                   tern_error** error) TERN_NOTHROW;

TERN_C_API void tern_tracker_free(tern_tracker* tracker) TERN_NOTHROW;
/// "kvm-bitmap", "wp-async", "wp-sync" …; "" for NULL.
TERN_C_API const char* tern_tracker_name(const tern_tracker* tracker) TERN_NOTHROW;
/// Says that [offset, offset + bytes) of a block was written by something that the tracker cannot
/// see, or thrown away (a balloon). Call it after the write. Without effect while not started.
TERN_C_API void tern_tracker_mark(tern_tracker* tracker, size_t block, uint64_t offset,
                                  uint64_t bytes) TERN_NOTHROW;

/// What a migration does with a tracker. Errors: unsupported, resource_exhausted,
/// failed_precondition (started already), invalid_argument (the blocks).
TERN_C_API int tern_tracker_start(tern_tracker* tracker, const tern_ram_block* blocks, size_t count,
                                  tern_error** error) TERN_NOTHROW;
/// `added` (may be NULL): how many bits became set. After an error every page counts as dirty.
TERN_C_API int tern_tracker_harvest(tern_tracker* tracker, tern_dirty_bitmap* into, uint64_t* added,
                                    tern_error** error) TERN_NOTHROW;
/// Idempotent.
TERN_C_API int tern_tracker_stop(tern_tracker* tracker, tern_error** error) TERN_NOTHROW;
/// Whether tern_tracker_run_service must run on a thread of its own between start and stop.
TERN_C_API int tern_tracker_needs_service(const tern_tracker* tracker) TERN_NOTHROW;

/// A request to stop, for tern_tracker_run_service. Any thread.
typedef struct tern_stop tern_stop;
TERN_C_API tern_stop* tern_stop_new(void) TERN_NOTHROW;
TERN_C_API void tern_stop_request(tern_stop* stop) TERN_NOTHROW;
TERN_C_API void tern_stop_free(tern_stop* stop) TERN_NOTHROW;
/// Blocks until tern_stop_request. The thread must not touch guest RAM.
TERN_C_API int tern_tracker_run_service(tern_tracker* tracker, const tern_stop* stop,
                                        tern_error** error) TERN_NOTHROW;

/* ---- device state -------------------------------------------------------------------------- */

/// Writes the body of one device section: big-endian, unaligned, and its description beside it. At
/// most 64 MiB. One thread at a time. A NULL where something is needed makes the save fail.
typedef struct tern_device_writer tern_device_writer;
TERN_C_API void tern_device_put_bool(tern_device_writer* writer, const char* field,
                                     int value) TERN_NOTHROW;
TERN_C_API void tern_device_put_u8(tern_device_writer* writer, const char* field,
                                   uint8_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_u16(tern_device_writer* writer, const char* field,
                                    uint16_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_u32(tern_device_writer* writer, const char* field,
                                    uint32_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_u64(tern_device_writer* writer, const char* field,
                                    uint64_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_i32(tern_device_writer* writer, const char* field,
                                    int32_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_i64(tern_device_writer* writer, const char* field,
                                    int64_t value) TERN_NOTHROW;
TERN_C_API void tern_device_put_buffer(tern_device_writer* writer, const char* field,
                                       const void* bytes, size_t size) TERN_NOTHROW;
TERN_C_API void tern_device_put_u32_array(tern_device_writer* writer, const char* field,
                                          const uint32_t* values, size_t count) TERN_NOTHROW;
TERN_C_API void tern_device_put_u64_array(tern_device_writer* writer, const char* field,
                                          const uint64_t* values, size_t count) TERN_NOTHROW;
/// Opens a nested struct. Structs with the same field name one after another form an array.
TERN_C_API void tern_device_begin_struct(tern_device_writer* writer, const char* field,
                                         const char* vmsd_name, uint32_t version) TERN_NOTHROW;
TERN_C_API void tern_device_end_struct(tern_device_writer* writer) TERN_NOTHROW;
/// What was written so far, valid until the next put; `size` may be NULL.
TERN_C_API const void* tern_device_bytes(const tern_device_writer* writer,
                                         size_t* size) TERN_NOTHROW;
/// One of the embedder's own, to test its devices with.
TERN_C_API tern_device_writer* tern_device_writer_new(void) TERN_NOTHROW;
/// Does nothing to one that tern passed to a callback.
TERN_C_API void tern_device_writer_free(tern_device_writer* writer) TERN_NOTHROW;

/// Reads the body of one device section. The input is hostile: each get can fail (peer_protocol,
/// naming field and offset). One thread at a time.
typedef struct tern_device_reader tern_device_reader;
TERN_C_API int tern_device_get_bool(tern_device_reader* reader, const char* field, int* value,
                                    tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u8(tern_device_reader* reader, const char* field, uint8_t* value,
                                  tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u16(tern_device_reader* reader, const char* field, uint16_t* value,
                                   tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u32(tern_device_reader* reader, const char* field, uint32_t* value,
                                   tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u64(tern_device_reader* reader, const char* field, uint64_t* value,
                                   tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_i32(tern_device_reader* reader, const char* field, int32_t* value,
                                   tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_i64(tern_device_reader* reader, const char* field, int64_t* value,
                                   tern_error** error) TERN_NOTHROW;
/// The next `size` bytes, valid while the callback runs.
TERN_C_API int tern_device_get_buffer(tern_device_reader* reader, const char* field, size_t size,
                                      const void** bytes, tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u32_array(tern_device_reader* reader, const char* field,
                                         uint32_t* values, size_t count,
                                         tern_error** error) TERN_NOTHROW;
TERN_C_API int tern_device_get_u64_array(tern_device_reader* reader, const char* field,
                                         uint64_t* values, size_t count,
                                         tern_error** error) TERN_NOTHROW;
/// Bytes not yet read.
TERN_C_API size_t tern_device_left(const tern_device_reader* reader) TERN_NOTHROW;
/// Where the next byte stands in the whole stream, for messages.
TERN_C_API uint64_t tern_device_stream_offset(const tern_device_reader* reader) TERN_NOTHROW;
/// For a value that is out of range: always fails (peer_protocol), naming the field and the offset.
TERN_C_API int tern_device_bad_value(const tern_device_reader* reader, const char* field,
                                     const char* why, tern_error** error) TERN_NOTHROW;
/// One of the embedder's own; the bytes outlive it. Errors: invalid_argument.
TERN_C_API int tern_device_reader_create(const void* bytes, size_t size, uint64_t stream_offset,
                                         tern_device_reader** out, tern_error** error) TERN_NOTHROW;
/// Does nothing to one that tern passed to a callback.
TERN_C_API void tern_device_reader_free(tern_device_reader* reader) TERN_NOTHROW;

/// A device. save is called on mig/src/main with the vCPUs stopped, load on mig/dst/listen before
/// the guest runs.
typedef struct tern_device_section {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  const char* idstr;            ///< 1..255 bytes ("my-vmm/serial")
  uint32_t instance_id;         ///< tells devices of one idstr apart
  uint32_t version_id;          ///< what save writes and the highest load accepts; 0: 1
  uint32_t minimum_version_id;  ///< the lowest load accepts; 0: version_id
  uint32_t reserved;            ///< 0
  int (*save)(void* user, tern_device_writer* writer, tern_error** error);  ///< required
  /// Required. Checks and takes over the state; bytes left unread are an error. After any failure
  /// the machine must not be run.
  int (*load)(void* user, tern_device_reader* reader, uint32_t version_id, tern_error** error);
} tern_device_section;

/* ---- the machine --------------------------------------------------------------------------- */

/// How tern stops and starts the guest; all but `destroy` are required. Never two calls at once for
/// one machine. Each returns when it has taken effect. States: enum tern_run_state.
typedef struct tern_vcpu_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  /// What the guest is doing. Only TERN_RUN_STATE_RUNNING means that it executes.
  int (*run_state)(void* user);
  /// Stops vCPUs and everything else that writes guest RAM; `state` is what run_state gives
  /// afterwards. *before: what it gave before, looked at in the same step.
  int (*pause_all)(void* user, int state, int* before, tern_error** error);
  /// Lets the guest run; idempotent.
  int (*resume_all)(void* user, tern_error** error);
  /// The guest stays stopped, only the reason changes.
  void (*set_stopped_state)(void* user, int state);
  /// Throttling (auto-converge, dirty-limit); both or none. How many vCPUs hold_vcpu takes,
  /// numbered from 0; the same at any time, asked first while the machine is created.
  uint32_t (*vcpu_count)(void* user);
  /// Takes the vCPU out of the guest as soon as possible and keeps it out for so many ns; it goes
  /// on by itself. Must not wait for that. A second hold takes the place of the first, counted from
  /// now (0: it goes on at once); a stop of the guest ends every hold. Any thread, at any time.
  void (*hold_vcpu)(void* user, uint32_t vcpu, int64_t ns);
} tern_vcpu_callbacks;

/// A device that the guest must let go of before it can migrate. Called on mig/src/main, one call
/// at a time; must not block for long. All but `destroy` are required.
typedef struct tern_unplug_device {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  const char* id;                                         ///< for UNPLUG_PRIMARY and messages
  int (*request_unplug)(void* user, tern_error** error);  ///< asks; does not wait
  int (*unplugged)(void* user);                           ///< whether the guest has let go of it
  void (*plug_back)(void* user);                          ///< the guest stays: it may have it back
} tern_unplug_device;

/// Tells the network where the guest is. Called on mig/announce.
typedef struct tern_announcer_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  /// Required. Send one packet now for each network device, or if count is not 0 for those named.
  void (*announce)(void* user, const char* const* interfaces, size_t count);
} tern_announcer_callbacks;

#define TERN_ANNOUNCEMENT_BYTES 60
/// The broadcast RARP frame (without checksum) that makes switches learn where `mac` (6 bytes) is;
/// writes TERN_ANNOUNCEMENT_BYTES to `frame`. Errors: invalid_argument (NULL).
TERN_C_API int tern_make_announcement(const uint8_t* mac, uint8_t* frame,
                                      tern_error** error) TERN_NOTHROW;

enum tern_event_type {
  TERN_EVENT_STATUS = 1,  ///< the state machine moved: `status`
  TERN_EVENT_PASS = 2,    ///< a dirty sync ended: `pass` is dirty-sync-count
  TERN_EVENT_UNPLUG = 3   ///< the guest was asked to let go of `device_id`
};
/// Valid during the callback. Types that are not known are to be ignored.
typedef struct tern_event {
  size_t size;
  int32_t type;    ///< enum tern_event_type
  int32_t status;  ///< enum tern_status
  uint64_t pass;
  const char* device_id;  ///< NULL but for TERN_EVENT_UNPLUG
} tern_event;
/// Called on tern's threads, one call at a time for one migration, in order; must not block for
/// long. May ask for statistics.
typedef struct tern_event_callbacks {
  size_t size;
  void* user;
  void (*destroy)(void* user);
  void (*on_event)(void* user, const tern_event* event);  ///< required
} tern_event_callbacks;

typedef struct tern_machine_options {
  size_t size;
  const char* name;           ///< equal on both sides, 1..255 bytes; NULL: "none"
  const tern_ram_block* ram;  ///< copied; the memory is not
  size_t ram_count;
  tern_tracker* tracker;             ///< source; NULL: the guest must be stopped while it migrates
  const tern_vcpu_callbacks* vcpus;  ///< required
  const tern_device_section* devices;  ///< copied
  size_t device_count;
  const tern_unplug_device* unplug;  ///< source; copied
  size_t unplug_count;
  const tern_announcer_callbacks* announcer;  ///< destination; may be NULL
  const uint8_t* uuid;                        ///< 16 bytes, or NULL for none
  const tern_event_callbacks* events;         ///< may be NULL; NULL for a control plane
  const tern_clock_callbacks* clock;          ///< NULL: the system's
  const tern_log_callbacks* log;              ///< NULL: dropped
  tern_object_store* objects;                 ///< what settings name by an id; may be NULL
} tern_machine_options;

/// The machine that migrates: RAM, vCPUs, devices. Immutable: any thread. Migrations one after
/// another may use it, and several destinations never at once.
typedef struct tern_machine tern_machine;
/// Errors: invalid_argument (what is wrong with which option), unsupported (struct too new).
TERN_C_API int tern_machine_create(const tern_machine_options* options, tern_machine** out,
                                   tern_error** error) TERN_NOTHROW;
TERN_C_API void tern_machine_free(tern_machine* machine) TERN_NOTHROW;

/// From now on vCPU `vcpu` (-1: every one) dirties at most so many MiB/s; 0 takes the limit away.
/// The others are left alone. A migration with the capability dirty-limit sets them while it runs.
/// Any thread. Errors: unsupported (the tracker cannot tell which vCPU wrote, or hold_vcpu is
/// NULL), invalid_argument (no such vCPU), failed_precondition (a migration sets them),
/// resource_exhausted, and those of the tracker.
TERN_C_API int tern_machine_set_vcpu_dirty_limit(tern_machine* machine, int64_t vcpu,
                                                 uint64_t mib_per_s,
                                                 tern_error** error) TERN_NOTHROW;
/// A vCPU with a limit.
typedef struct tern_vcpu_dirty_limit {
  uint32_t vcpu;
  uint32_t reserved;      ///< 0
  uint64_t limit_rate;    ///< MiB/s
  uint64_t current_rate;  ///< MiB/s that it dirtied in the last period
} tern_vcpu_dirty_limit;
/// Returns how many vCPUs have a limit and fills `limits` (may be NULL) as far as it goes.
TERN_C_API size_t tern_machine_vcpu_dirty_limits(const tern_machine* machine,
                                                 tern_vcpu_dirty_limit* limits,
                                                 size_t count) TERN_NOTHROW;

/// The guest is stopped while this lives.
typedef struct tern_pause_guard tern_pause_guard;
/// Stops the guest (state finish-migrate). Errors: those of pause_all; the guest then runs on.
TERN_C_API int tern_machine_pause(tern_machine* machine, tern_pause_guard** out,
                                  tern_error** error) TERN_NOTHROW;
/// The state before the pause.
TERN_C_API int tern_pause_guard_before(const tern_pause_guard* guard) TERN_NOTHROW;
/// The guest stays stopped, in `state`: it belongs to somebody else now. Frees the guard on
/// success. Errors: invalid_argument.
TERN_C_API int tern_pause_guard_release(tern_pause_guard* guard, int state,
                                        tern_error** error) TERN_NOTHROW;
/// The guest does again what it did before. Always frees the guard. Errors: those of resume_all.
TERN_C_API int tern_pause_guard_undo(tern_pause_guard* guard, tern_error** error) TERN_NOTHROW;
/// Undo, without asking for the error.
TERN_C_API void tern_pause_guard_free(tern_pause_guard* guard) TERN_NOTHROW;

#ifdef __cplusplus
}
#endif
