// SPDX-License-Identifier: Apache-2.0
//
// What a migration is told before it starts: QEMU's migration parameters and capabilities, and the
// names of tern's own deadlines. Names, ranges, defaults and help of each stand in one table
// (migration/params/parameters.h), from which QMP, the tools and docs/reference are made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// Which program and version the other side is: where the wire is not negotiated the source must
/// know.
enum class PeerVersion {
  tern,
  qemu_7_2,
  qemu_8_0,
  qemu_8_1,
  qemu_8_2,
  qemu_9_0,
  qemu_9_1,
  qemu_9_2,
  qemu_10_0,
  qemu_10_1,
  qemu_10_2,
  qemu_11_0,
  qemu_11_1,
};

/// "tern", "qemu-7.2" …
TERN_API std::string_view to_string(PeerVersion version) noexcept;
TERN_API Result<PeerVersion> peer_version_from(std::string_view text) noexcept;
/// The dialect a machine name asks for: "pc-i440fx-7.2" and "pc-q35-8.2" name a QEMU version;
/// others none.
TERN_API std::optional<PeerVersion> peer_version_of_machine(std::string_view machine) noexcept;

/// How multifd channels pack pages (QEMU's MultiFDCompression).
enum class MultifdCompression { none, zlib, zstd };
TERN_API std::string_view to_string(MultifdCompression method) noexcept;

/// Who looks for pages of zeros (QEMU's ZeroPageDetection): nobody, so that they travel like
/// others; mig/src/main, which sends a record for each; or with multifd the threads of the
/// channels, in their packets.
enum class ZeroPageDetection { none, legacy, multifd };
TERN_API std::string_view to_string(ZeroPageDetection where) noexcept;

/// Whose rules decide when a pass over RAM ends in a look at the dirty pages, and when the guest is
/// stopped (docs/convergence.md).
enum class SwitchoverPolicy { tern, qemu_7_2, qemu_10_2 };
TERN_API std::string_view to_string(SwitchoverPolicy policy) noexcept;

/// One value per migration; frozen when it starts, except where the comment says "live".
struct Settings {
  // ---- capabilities (docs/reference/capabilities.md)
  bool auto_converge = false;
  bool dirty_limit = false;
  bool return_path = true;
  bool pause_before_switchover = false;
  bool validate_uuid = false;
  bool switchover_ack = false;
  bool multifd = false;
  bool zero_copy_send = false;
  bool xbzrle = false;
  bool compress = false;  ///< deprecated, as in QEMU: multifd_compression is better

  // ---- parameters (docs/reference/parameters.md)
  /// Ceiling for page data in bytes/s, 0 = no limit. Live.
  uint64_t max_bandwidth = 0;
  /// Bandwidth expected at switchover in bytes/s, 0 = measured. Live.
  uint64_t avail_switchover_bandwidth = 0;
  /// How long the guest may be stopped, ms, 0..2000000. Live.
  uint64_t downtime_limit = 300;
  /// When the guest is stopped.
  SwitchoverPolicy switchover_policy = SwitchoverPolicy::tern;

  /// Auto-converge and dirty-limit act after every second period in which the guest dirtied more
  /// than this percentage of what was sent, 1..100. Live.
  uint32_t throttle_trigger_threshold = 50;
  uint32_t cpu_throttle_initial = 20;    ///< percent of the vCPUs' time, 1..99. Live.
  uint32_t cpu_throttle_increment = 10;  ///< 1..99. Live.
  bool cpu_throttle_tailslow = false;    ///< smaller steps where they are enough. Live.
  uint32_t max_cpu_throttle = 99;        ///< cpu_throttle_initial..99. Live.
  /// What dirty-limit allows each vCPU, MiB/s, 1 or more. Live.
  uint64_t vcpu_dirty_limit = 1;
  /// How often it measures, ms, 1..1000. Live.
  uint64_t vcpu_dirty_limit_period = 1000;

  /// Id of the credentials in Machine::objects: every connection speaks TLS. "" for none.
  std::string tls_creds;
  /// Source: whom the server's certificate must name; "": the host of the address.
  std::string tls_hostname;
  /// Destination: id of the object that says which clients may connect, by the name in their
  /// certificate. "": whoever has a good one.
  std::string tls_authz;
  /// Not set: taken from the machine name, otherwise tern.
  std::optional<PeerVersion> peer_version;

  /// Memory for copies of pages that the destination has, bytes, a power of two. Live.
  uint64_t xbzrle_cache_size = 64ull << 20;

  uint32_t compress_level = 1;       ///< 0..9
  uint32_t compress_threads = 8;     ///< source, 1..255
  bool compress_wait_thread = true;  ///< false: a page goes as it is when all are busy. Live.
  uint32_t decompress_threads = 2;   ///< destination, 1..255

  uint32_t multifd_channels = 2;  ///< 1..255
  MultifdCompression multifd_compression = MultifdCompression::none;
  uint32_t multifd_zlib_level = 1;  ///< 0..9
  uint32_t multifd_zstd_level = 1;  ///< 0..20
  ZeroPageDetection zero_page_detection = ZeroPageDetection::multifd;
  /// To a tern destination: batches that compression would not bring there sooner go as they are.
  bool multifd_adaptive = true;

  /// Self-announcement at the destination once the guest runs there (tern/announce.h).
  uint64_t announce_initial = 50;  ///< ms, 0..100000
  uint64_t announce_max = 550;     ///< ms, 0..100000
  uint64_t announce_rounds = 5;    ///< 0..1000
  uint64_t announce_step = 100;    ///< ms, 1..10000

  // ---- deadlines, ms, 1..86400000: how long to wait before the peer counts as dead
  uint32_t connect_timeout = 30000;  ///< source: until the connection stands
  uint32_t handshake_timeout =
      30000;  ///< until the peer's first words; destination: its header after accept
  uint32_t channel_timeout = 30000;  ///< destination: from the first multifd channel to the last
  uint32_t stall_timeout =
      60000;  ///< no byte moved where one is due; tern peers ping to prove life
  uint32_t idle_timeout =
      3600000;  ///< destination: silence of a source that is not tern (it may pause for long)
  uint32_t final_timeout =
      120000;  ///< source: until the destination said that it loaded; destination: until the go

  uint32_t unplug_timeout =
      300000;  ///< source: until the guest has let go of the devices that cannot migrate

  // ---- limits for what a peer may make a destination keep
  uint64_t max_device_state = 64ull << 20;  ///< bytes of buffered device state

  /// Put before the thread names, "" for none (names are cut at 15 characters).
  std::string thread_prefix;
};

}  // namespace tern
