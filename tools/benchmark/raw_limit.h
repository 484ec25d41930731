// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do at all: bytes from one process to another without a protocol, and how
// fast all its cores read memory.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::bench {

/// How bytes get into memory that may not be there yet. Which is fastest depends on the machine,
/// and a limit is the fastest.
enum class Way {
  straight,  ///< recv() into it: the kernel finds each missing page while it copies
  populate,  ///< the same, after asking for the pages of each piece at once
};
inline constexpr std::array kWays = {Way::straight, Way::populate};
std::string_view to_string(Way way);

struct RawOptions {
  std::string file;    ///< content of the sender
  uint64_t ram = 0;    ///< size of the receiver's memory
  uint64_t bytes = 0;  ///< how much is sent
  unsigned sockets = 1;
  Way way = Way::straight;
  bool transparent_huge_pages = false;
  bool prefault_sender = false;
  bool prefault_receiver = false;
};

struct RawResult {
  double seconds = 0;
  double sender_cpu = 0;
  double receiver_cpu = 0;
};

/// Sender and receiver are two processes over loopback TCP, a thread at each end of each socket.
RawResult send_raw(const RawOptions& options);

struct ReadResult {
  double seconds = 0;  ///< of the fastest pass
  std::string loop;    ///< which loop that was
  unsigned threads = 0;
};

/// Reads the first `bytes` of a file that is mapped and populated, with a thread for each core.
ReadResult read_memory(const std::string& file, uint64_t bytes);

}  // namespace tern::bench
