// SPDX-License-Identifier: Apache-2.0
//
// StreamMaker: main streams in memory, written by the engine's own writers, for tests of what reads
// them. And the captured ones: capture("7.2-plain/conn0.to-destination.bin").
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/stream_io.h"
#include "migration/stream/framing.h"
#include "migration/stream/vmdesc.h"
#include "ram/wire/ram_record.h"
#include "tests/doubles/memory_channel.h"

namespace tern::test {

inline std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) std::abort();  // a test without its data proves nothing
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return bytes_of(text);
}

#ifdef TERN_TEST_DATA
inline std::vector<std::byte> capture(const std::string& name) {
  return read_file(std::string(TERN_TEST_DATA) + "/captures/" + name);
}
#endif

/// Every call adds to the stream; take() gives what came together. Writing to memory does not fail.
class StreamMaker {
 public:
  StreamMaker() : channel_(std::make_unique<MemoryChannel>()), out_(*channel_) {}

  StreamMaker& opening(const std::string& machine) {
    Configuration c;
    c.machine = machine;
    return opening(c);
  }
  StreamMaker& opening(const Configuration& c) {
    write_header(out_).ignore("memory");
    write_configuration(out_, c).ignore("memory");
    return *this;
  }
  StreamMaker& raw(std::initializer_list<unsigned> values) { return raw(bytes_of(values)); }
  StreamMaker& raw(const std::vector<std::byte>& bytes) {
    out_.put(bytes).ignore("memory");
    return *this;
  }
  StreamMaker& text(std::string_view text) { return raw(bytes_of(text)); }
  StreamMaker& u8(uint8_t v) { return raw({v}); }
  StreamMaker& be16(uint16_t v) {
    out_.put_be16(v).ignore("memory");
    return *this;
  }
  StreamMaker& be32(uint32_t v) {
    out_.put_be32(v).ignore("memory");
    return *this;
  }
  StreamMaker& be64(uint64_t v) {
    out_.put_be64(v).ignore("memory");
    return *this;
  }
  StreamMaker& name(std::string_view text) {
    out_.put_counted_string(text).ignore("memory");
    return *this;
  }
  StreamMaker& fill(size_t bytes, unsigned value) {
    return raw(std::vector<std::byte>(bytes, static_cast<std::byte>(value)));
  }

  StreamMaker& begin(uint8_t item, const SectionHeader& header) {
    write_section_header(out_, item, header).ignore("memory");
    return *this;
  }
  StreamMaker& part(uint8_t item, uint32_t section_id) {
    write_section_part(out_, item, section_id).ignore("memory");
    return *this;
  }
  StreamMaker& footer(uint32_t section_id) {
    write_footer(out_, section_id).ignore("memory");
    return *this;
  }
  StreamMaker& eos() {
    write_eos(out_).ignore("memory");
    return *this;
  }
  /// START with a list of one block.
  StreamMaker& ram_start(const std::string& block, uint64_t bytes) {
    begin(kItemSectionStart, {kRamSection, "ram", 0, 4});
    write_block_list_head(out_, bytes).ignore("memory");
    write_block(out_, block, bytes).ignore("memory");
    return eos().footer(kRamSection);
  }
  StreamMaker& ram_end() { return part(kItemSectionEnd, kRamSection).eos().footer(kRamSection); }
  /// `block` empty: CONTINUE.
  StreamMaker& page(const std::string& block, uint64_t offset, unsigned value) {
    write_record_head(out_, RecordKind::page, offset, block).ignore("memory");
    return fill(kTargetPageBytes, value);
  }
  StreamMaker& zero(const std::string& block, uint64_t offset) {
    write_record_head(out_, RecordKind::zero, offset, block).ignore("memory");
    return u8(0);
  }
  StreamMaker& command(Command command, const std::vector<std::byte>& payload = {}) {
    write_command(out_, command, payload).ignore("memory");
    return *this;
  }
  StreamMaker& dialect(uint32_t features) {
    write_tern_dialect(out_, {kTernProtocol, features}).ignore("memory");
    return *this;
  }
  /// A FULL section, with its description.
  StreamMaker& device(uint32_t section_id, const SectionId& id, const DeviceWriter& body) {
    begin(kItemSectionFull, {section_id, id.idstr, id.instance_id, id.version_id});
    out_.put(body.bytes()).ignore("memory");
    description_.add(id, body);
    return footer(section_id);
  }
  /// EOF and the vmdescription.
  StreamMaker& end() { return end_with(description_.finish(kTargetPageBytes)); }
  StreamMaker& end_with(const std::string& json) {
    return u8(kItemEof).u8(kItemVmDescription).be32(static_cast<uint32_t>(json.size())).text(json);
  }

  std::vector<std::byte> take() {
    out_.flush().ignore("memory");
    return std::exchange(channel_->written, {});
  }
  uint64_t size() const { return out_.offset(); }

  static constexpr uint32_t kRamSection = 1;

 private:
  std::unique_ptr<MemoryChannel> channel_;  // where it is when the maker moves
  StreamWriter out_;
  VmDescriptionWriter description_;
};

}  // namespace tern::test
