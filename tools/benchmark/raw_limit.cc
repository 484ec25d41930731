// SPDX-License-Identifier: Apache-2.0
#include "tools/benchmark/raw_limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tools/benchmark/memory.h"

namespace tern::bench {
namespace {

constexpr uint64_t kPiece = 512 * 1024;

void write_all(int fd, const void* data, size_t bytes) {
  if (::write(fd, data, bytes) != static_cast<ssize_t>(bytes)) fail("writing to a pipe");
}

void read_all(int fd, void* data, size_t bytes) {
  // Ends with EOF when the other process failed; it has said why.
  if (::read(fd, data, bytes) != static_cast<ssize_t>(bytes)) fail("the other process ended");
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

/// Which part of the bytes a socket carries: a contiguous one, so that no thread waits for
/// another's pages.
Extent share_of(uint64_t bytes, unsigned socket, unsigned sockets) {
  const uint64_t pages = bytes / 4096;
  const uint64_t start = pages * socket / sockets * 4096;
  const uint64_t end = socket + 1 == sockets ? bytes : pages * (socket + 1) / sockets * 4096;
  return {start, end - start};
}

void receive(int fd, std::byte* into, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::recv(fd, into, bytes, MSG_WAITALL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("receiving");
    into += n;
    bytes -= static_cast<uint64_t>(n);
  }
}

void receive_all(int fd, Way way, std::byte* into, uint64_t bytes) {
  while (bytes > 0) {
    const uint64_t n = std::min(bytes, kPiece);
    if (way == Way::populate) populate({into, n});
    receive(fd, into, n);
    into += n;
    bytes -= n;
  }
}

void send_extent(int fd, std::byte* from, uint64_t bytes) {
  while (bytes > 0) {
    const iovec piece{from, bytes};
    const ssize_t n = ::writev(fd, &piece, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("sending");
    from += n;
    bytes -= static_cast<uint64_t>(n);
  }
}

/// The receiving process: tells its port, takes everything, tells its CPU time.
void run_receiver(const RawOptions& options, int report) {
  const Mapping ram = map_anonymous(options.ram, options.transparent_huge_pages);
  if (options.prefault_receiver) populate(ram);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener, 256) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    fail("listening on 127.0.0.1");
  }
  write_all(report, &address.sin_port, sizeof address.sin_port);
  std::vector<int> sockets;
  for (unsigned i = 0; i < options.sockets; ++i) {
    sockets.push_back(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (sockets.back() < 0) fail("accepting");
  }
  const double cpu_before = cpu_seconds();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.sockets; ++i) {
    const Extent part = share_of(options.bytes, i, options.sockets);
    threads.emplace_back(receive_all, sockets[i], options.way, ram.start + part.start, part.bytes);
  }
  for (auto& thread : threads) thread.join();
  const double cpu = cpu_seconds() - cpu_before;
  write_all(report, &cpu, sizeof cpu);
}

/// The pieces of the file that carry bytes [start, start + bytes) of its data.
std::vector<Extent> slice(const std::vector<Extent>& all, const Extent& part) {
  std::vector<Extent> mine;
  uint64_t at = 0;
  for (const Extent& extent : all) {
    const uint64_t from = std::max(at, part.start);
    const uint64_t to = std::min(at + extent.bytes, part.start + part.bytes);
    if (from < to) mine.push_back({extent.start + from - at, to - from});
    at += extent.bytes;
  }
  return mine;
}

}  // namespace

std::string_view to_string(Way way) {
  constexpr std::array<std::string_view, kWays.size()> kNames = {"straight", "populate"};
  return kNames[static_cast<size_t>(way)];
}

RawResult send_raw(const RawOptions& options) {
  int report[2];
  if (::pipe(report) != 0) fail("pipe");
  const pid_t receiver = ::fork();
  if (receiver < 0) fail("fork");
  if (receiver == 0) {
    ::close(report[0]);
    run_receiver(options, report[1]);
    std::exit(0);
  }
  ::close(report[1]);
  const auto extents = data_extents(options.file, options.bytes, kPiece);
  const Mapping content = map_file(options.file, options.ram);
  if (options.prefault_sender) populate(content);
  uint16_t port = 0;
  read_all(report[0], &port, sizeof port);
  std::vector<int> sockets;
  for (unsigned i = 0; i < options.sockets; ++i) {
    const sockaddr_in address = loopback(port);
    sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (sockets.back() < 0 || ::connect(sockets.back(), reinterpret_cast<const sockaddr*>(&address),
                                        sizeof address) != 0) {
      fail("connecting");
    }
  }
  RawResult result;
  const double cpu_before = cpu_seconds();
  const double start = now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.sockets; ++i) {
    threads.emplace_back([&, i] {
      for (const Extent& e : slice(extents, share_of(options.bytes, i, options.sockets))) {
        send_extent(sockets[i], content.start + e.start, e.bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  result.sender_cpu = cpu_seconds() - cpu_before;
  read_all(report[0], &result.receiver_cpu, sizeof result.receiver_cpu);
  result.seconds = now() - start;
  int status = 0;
  if (::waitpid(receiver, &status, 0) != receiver || status != 0) fail("the receiver failed");
  return result;
}

}  // namespace tern::bench
