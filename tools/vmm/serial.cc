// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/serial.h"

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>

namespace tern::vmm {
namespace {

constexpr uint8_t kLcrDivisor = 0x80;
constexpr uint8_t kMcrLoop = 0x10;
constexpr uint8_t kLsrData = 0x01;
constexpr uint8_t kLsrEmpty = 0x60;  // holding register and shift register
constexpr uint8_t kFcrEnable = 0x01;

}  // namespace

Result<SerialSink> SerialSink::open(const std::string& where, bool append) noexcept {
  SerialSink sink;
  if (where.empty()) return sink;
  if (where == "stdio") {
    sink.fd = STDOUT_FILENO;
    return sink;
  }
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | (append ? 0 : O_TRUNC);
  sink.owned = UniqueFd(::open(where.c_str(), flags, 0644));
  // O_NONBLOCK so that a pipe nobody reads is an error here, not a VMM that hangs at its start.
  if (!sink.owned) return errno_error(ErrorCode::invalid_argument, "--serial " + where, errno);
  sink.fd = sink.owned.get();
  return sink;
}

Serial::Serial(std::string idstr, SerialSink sink) noexcept
    : id_{std::move(idstr)}, sink_(std::move(sink)) {}

void Serial::flush() noexcept {
  if (!waiting_) return;
  if (sink_.fd >= 0) {
    // Asked first, because stdout may be shared with a program that wants it blocking.
    pollfd ready{sink_.fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) {
      if ((ready.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0) return;
      waiting_.reset();  // the reader is gone for good: as if no cable were there
      return;
    }
    const ssize_t n = ::write(sink_.fd, &*waiting_, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  }
  waiting_.reset();
}

bool Serial::put(uint8_t value) noexcept {
  flush();
  if (waiting_) return false;
  waiting_ = value;
  flush();
  return true;
}

bool Serial::try_put(uint8_t value) noexcept {
  const std::lock_guard lock(mutex_);
  return put(value);
}

void Serial::write(uint16_t reg, uint8_t value) noexcept {
  const std::lock_guard lock(mutex_);
  const bool divisor = (lcr_ & kLcrDivisor) != 0;
  switch (reg) {
    case 0:
      if (divisor) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
      } else if ((mcr_ & kMcrLoop) != 0) {
        received_ = value;
      } else {
        // A guest that did not ask the line status loses the byte, as on the real part.
        put(value);
      }
      break;
    case 1:
      if (divisor) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | (value << 8));
      } else {
        ier_ = value & 0x0f;
      }
      break;
    case 2:
      fcr_ = value;
      break;
    case 3:
      lcr_ = value;
      break;
    case 4:
      mcr_ = value & 0x1f;
      break;
    case 7:
      scr_ = value;
      break;
    default:
      break;  // the status registers cannot be written
  }
}

uint8_t Serial::read(uint16_t reg) noexcept {
  const std::lock_guard lock(mutex_);
  const bool divisor = (lcr_ & kLcrDivisor) != 0;
  switch (reg) {
    case 0: {
      if (divisor) return static_cast<uint8_t>(divisor_ & 0xff);
      const uint8_t value = received_.value_or(0);
      received_.reset();
      return value;
    }
    case 1:
      return divisor ? static_cast<uint8_t>(divisor_ >> 8) : ier_;
    case 2:
      return (fcr_ & kFcrEnable) != 0 ? 0xc1 : 0x01;  // no interrupt pending
    case 3:
      return lcr_;
    case 4:
      return mcr_;
    case 5:
      flush();
      return static_cast<uint8_t>((waiting_ ? 0 : kLsrEmpty) | (received_ ? kLsrData : 0));
    case 6:
      // Carrier, ring, ready, clear to send: always there; in loopback they follow the outputs.
      if ((mcr_ & kMcrLoop) == 0) return 0xb0;
      return static_cast<uint8_t>(((mcr_ & 0x02) << 3) | ((mcr_ & 0x01) << 5) |
                                  ((mcr_ & 0x0c) << 4));
    default:
      return scr_;
  }
}

Result<void> Serial::save(DeviceWriter& writer) noexcept {
  const std::lock_guard lock(mutex_);
  writer.put_bool("waiting", waiting_.has_value());
  writer.put_u8("thr", waiting_.value_or(0));
  writer.put_bool("received", received_.has_value());
  writer.put_u8("rbr", received_.value_or(0));
  writer.put_u8("ier", ier_);
  writer.put_u8("fcr", fcr_);
  writer.put_u8("lcr", lcr_);
  writer.put_u8("mcr", mcr_);
  writer.put_u8("scr", scr_);
  writer.put_u16("divisor", divisor_);
  return {};
}

Result<void> Serial::load(DeviceReader& reader, uint32_t /*version_id*/) noexcept {
  const std::lock_guard lock(mutex_);
  const bool waiting = TERN_TRY(reader.get_bool("waiting"));
  const uint8_t thr = TERN_TRY(reader.get_u8("thr"));
  const bool received = TERN_TRY(reader.get_bool("received"));
  const uint8_t rbr = TERN_TRY(reader.get_u8("rbr"));
  ier_ = TERN_TRY(reader.get_u8("ier")) & 0x0f;
  fcr_ = TERN_TRY(reader.get_u8("fcr"));
  lcr_ = TERN_TRY(reader.get_u8("lcr"));
  mcr_ = TERN_TRY(reader.get_u8("mcr")) & 0x1f;
  scr_ = TERN_TRY(reader.get_u8("scr"));
  divisor_ = TERN_TRY(reader.get_u16("divisor"));
  waiting_ = waiting ? std::optional(thr) : std::nullopt;
  received_ = received ? std::optional(rbr) : std::nullopt;
  return {};
}

}  // namespace tern::vmm
