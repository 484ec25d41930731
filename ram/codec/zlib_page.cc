// SPDX-License-Identifier: Apache-2.0
#include "ram/codec/zlib_page.h"

#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace tern {
namespace {

constexpr size_t kPage = kTargetPageBytes;

// The libraries read it only; their structures have no const form.
uint8_t* readable(std::span<const std::byte> bytes) noexcept {
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(bytes.data()));
}

class IsalPageDeflater final : public PageDeflater {
 public:
  IsalPageDeflater(uint32_t level, size_t work_bytes) noexcept : level_(level), work_(work_bytes) {}

  Result<std::span<const std::byte>> deflate(std::span<const std::byte> page) noexcept override {
    isal_deflate_stateless_init(&stream_);
    stream_.gzip_flag = IGZIP_ZLIB;
    stream_.level = level_;
    stream_.level_buf = work_.data();
    stream_.level_buf_size = static_cast<uint32_t>(work_.size());
    stream_.end_of_stream = 1;
    stream_.flush = NO_FLUSH;
    stream_.next_in = readable(page);
    stream_.avail_in = static_cast<uint32_t>(page.size());
    stream_.next_out = out_.data();
    stream_.avail_out = kPage - 1;
    const int status = isal_deflate_stateless(&stream_);
    if (status == STATELESS_OVERFLOW) return std::span<const std::byte>();
    if (status != COMP_OK) {
      return Error(ErrorCode::internal, "ISA-L deflate: status " + std::to_string(status));
    }
    return std::as_bytes(std::span(out_).first(kPage - 1 - stream_.avail_out));
  }

 private:
  const uint32_t level_;
  std::vector<uint8_t> work_;
  std::array<uint8_t, kPage> out_{};
  isal_zstream stream_;
};

class ZlibPageDeflater final : public PageDeflater {
 public:
  ~ZlibPageDeflater() override {
    if (ready_) deflateEnd(&stream_);
  }
  Result<void> begin(uint32_t level) noexcept {
    constexpr int kWindowBits = 12;  // a page
    constexpr int kMemoryLevel = 6;
    if (deflateInit2(&stream_, static_cast<int>(level), Z_DEFLATED, kWindowBits, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      return Error(ErrorCode::resource_exhausted, "zlib: no memory");
    }
    ready_ = true;
    return {};
  }
  Result<std::span<const std::byte>> deflate(std::span<const std::byte> page) noexcept override {
    stream_.next_in = readable(page);
    stream_.avail_in = static_cast<uInt>(page.size());
    stream_.next_out = out_.data();
    stream_.avail_out = kPage - 1;
    const int status = ::deflate(&stream_, Z_FINISH);
    const size_t used = kPage - 1 - stream_.avail_out;
    if (deflateReset(&stream_) != Z_OK || (status != Z_STREAM_END && status != Z_OK)) {
      return Error(ErrorCode::internal, "zlib deflate: status " + std::to_string(status));
    }
    if (status == Z_OK) return std::span<const std::byte>();
    return std::as_bytes(std::span(out_).first(used));
  }

 private:
  std::array<uint8_t, kPage> out_{};
  z_stream stream_{};
  bool ready_ = false;
};

Error broken(const std::string& why) noexcept {
  return Error(ErrorCode::peer_protocol, "compressed page: " + why);
}

}  // namespace

Result<std::unique_ptr<PageDeflater>> make_page_deflater(uint32_t level) noexcept {
  if (level == 1) {
    return std::unique_ptr<PageDeflater>(
        std::make_unique<IsalPageDeflater>(1, ISAL_DEF_LVL1_DEFAULT));
  }
  if (level == 2 || level == 3) {
    return std::unique_ptr<PageDeflater>(
        std::make_unique<IsalPageDeflater>(3, ISAL_DEF_LVL3_DEFAULT));
  }
  auto deflater = std::make_unique<ZlibPageDeflater>();
  TERN_TRY(deflater->begin(level));
  return std::unique_ptr<PageDeflater>(std::move(deflater));
}

namespace {

std::string why(int status) noexcept {
  switch (status) {
    case ISAL_INVALID_BLOCK:
      return "a block of it has no known kind";
    case ISAL_INVALID_SYMBOL:
      return "a code in it stands for nothing";
    case ISAL_INVALID_LOOKBACK:
      return "it refers to what is before its beginning";
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
      return "it has no zlib header";
    case ISAL_NEED_DICT:
      return "it wants a dictionary";
    case ISAL_INCORRECT_CHECKSUM:
      return "its checksum is wrong";
    default:
      return "inflate returned " + std::to_string(status);
  }
}

}  // namespace

struct PageInflater::State {
  inflate_state stream;
  // Room for more than a page, to see that there is no more. Not the page itself: the library takes
  // matches from what it wrote.
  std::array<uint8_t, kPage + 64> out{};
};

PageInflater::PageInflater() noexcept : state_(std::make_unique<State>()) {
  isal_inflate_init(&state_->stream);
}
PageInflater::~PageInflater() = default;

Result<void> PageInflater::inflate(std::span<const std::byte> payload,
                                   std::span<std::byte> page) noexcept {
  inflate_state& stream = state_->stream;
  isal_inflate_reset(&stream);
  stream.crc_flag = ISAL_ZLIB;
  stream.next_in = readable(payload);
  stream.avail_in = static_cast<uint32_t>(payload.size());
  stream.next_out = state_->out.data();
  stream.avail_out = static_cast<uint32_t>(state_->out.size());
  const int status = isal_inflate(&stream);
  if (status != ISAL_DECOMP_OK) return broken(why(status));
  const size_t got = state_->out.size() - stream.avail_out;
  if (got > page.size()) return broken("it holds more than a page");
  if (stream.block_state != ISAL_BLOCK_FINISH) return broken("the stream does not end");
  if (got < page.size()) return broken("it holds " + std::to_string(got) + " bytes, not a page");
  // The reader looks ahead; what it did not use counts as left over, too.
  if (stream.avail_in != 0 || stream.read_in_length >= 8) return broken("bytes are left over");
  std::memcpy(page.data(), state_->out.data(), page.size());
  return {};
}

}  // namespace tern
