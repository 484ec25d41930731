// SPDX-License-Identifier: Apache-2.0
//
// Why this is a proof. A slice stands in the image as [v+1 … v+1, v … v] (byte 0 of each page,
// modulo 256), where v is the vCPU's own count of rounds. A page that was lost in the move is at
// least one behind, a page that was sent twice or restored late does not fit either: both break the
// order or the count.
#include "tools/vmm/checker.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tern::vmm {
namespace {

std::string hex(uint64_t value) noexcept {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  do {
    out.insert(out.begin(), digits[value & 0xf]);
    value >>= 4;
  } while (value != 0);
  return "0x" + out;
}

class SliceCheck {
 public:
  SliceCheck(std::span<const std::byte> image, const GuestParams& params,
             SliceVerdict& out) noexcept
      : image_(image), params_(params), out_(out) {}

  /// `status`: what the guest says itself; nullopt: unknown (no parameter block).
  std::optional<BadPage> run(const std::optional<VcpuStatus>& status) noexcept {
    out_.filled = status ? status->filled : out_.slice.pages();
    for (uint64_t i = 0; i < out_.filled; ++i) {
      if (auto bad = content(i)) return bad;
    }
    if (out_.filled < out_.slice.pages()) return filling(*status);
    return counters(status);
  }

 private:
  std::span<const std::byte> page(uint64_t index) const noexcept {
    return image_.subspan(gpa(index), kGuestPageBytes);
  }
  uint64_t gpa(uint64_t index) const noexcept {
    return params_.start + (out_.slice.first + index) * kGuestPageBytes;
  }
  BadPage bad(uint64_t index, std::string reason) const noexcept {
    return {out_.vcpu, gpa(index), std::move(reason)};
  }

  std::optional<BadPage> content(uint64_t index) const noexcept {
    std::array<std::byte, kGuestPageBytes> expected;
    fill_page(gpa(index) / kGuestPageBytes, expected);
    const auto actual = page(index);
    // Byte 0 is the counter and is judged with its neighbours.
    const auto [want, got] =
        std::mismatch(expected.begin() + 1, expected.end(), actual.begin() + 1, actual.end());
    if (want == expected.end()) return std::nullopt;
    const auto offset = static_cast<uint64_t>(want - expected.begin());
    return bad(index, "byte " + std::to_string(offset) + " is " + hex(static_cast<uint64_t>(*got)) +
                          ", the fill has " + hex(static_cast<uint64_t>(*want)));
  }

  /// Not all pages are filled: no page may have been counted yet.
  std::optional<BadPage> filling(const VcpuStatus& status) const noexcept {
    for (uint64_t i = 0; i < out_.filled; ++i) {
      if (page(i)[0] == std::byte{0}) continue;
      return bad(i, "counted before the slice was filled");
    }
    if (status.rounds == 0) return std::nullopt;
    return bad(out_.filled, std::to_string(status.rounds) + " rounds although only " +
                                std::to_string(out_.filled) + " pages are filled");
  }

  std::optional<BadPage> counters(const std::optional<VcpuStatus>& status) noexcept {
    const uint64_t pages = out_.slice.pages();
    const auto last = static_cast<uint8_t>(page(pages - 1)[0]);
    const auto first = static_cast<uint8_t>(page(0)[0]);
    // Without the guest's word: the last page is the one furthest behind.
    const auto v = status ? static_cast<uint8_t>(status->rounds) : last;
    out_.rounds = status ? status->rounds : v;
    const auto ahead = static_cast<uint8_t>(v + 1);
    bool behind = first == v;
    out_.position = 0;
    for (uint64_t i = 0; i < pages; ++i) {
      const auto counter = static_cast<uint8_t>(page(i)[0]);
      if (counter == ahead && !behind) {
        out_.position = i + 1;
      } else if (counter == v) {
        behind = true;
      } else {
        return bad(
            i,
            "counter " + std::to_string(counter) + " where " +
                (behind ? std::to_string(v) : std::to_string(ahead) + " or " + std::to_string(v)) +
                " belongs (" + std::to_string(out_.position) + " pages of the round are done)");
      }
    }
    return std::nullopt;
  }

  std::span<const std::byte> image_;
  const GuestParams& params_;
  SliceVerdict& out_;
};

}  // namespace

Result<Verdict> check_guest(std::span<const std::byte> image,
                            const std::optional<GuestParams>& forced) noexcept {
  ParamBlock block;
  if (forced) {
    block.params = *forced;
  } else {
    if (image.size() < kParamsGpa + kParamsBytes) {
      return Error(ErrorCode::invalid_argument, "the image ends before the parameter block");
    }
    block = TERN_TRY(decode_params(image.subspan(kParamsGpa, kParamsBytes)));
  }
  TERN_TRY(check_params(block.params, image.size()));
  Verdict verdict;
  verdict.params = block.params;
  for (uint32_t vcpu = 0; vcpu < block.params.vcpus; ++vcpu) {
    SliceVerdict slice;
    slice.vcpu = vcpu;
    slice.slice = slice_of(block.params, vcpu);
    std::optional<VcpuStatus> status;
    if (!forced) status = block.status[vcpu];
    auto bad = SliceCheck(image, block.params, slice).run(status);
    verdict.filling = verdict.filling || slice.filled < slice.slice.pages();
    verdict.slices.push_back(slice);
    if (bad && !verdict.bad) verdict.bad = std::move(bad);
  }
  verdict.consistent = !verdict.bad.has_value();
  return verdict;
}

Result<void> check_advanced(const Verdict& before, const Verdict& after) noexcept {
  if (before.params != after.params) {
    return Error(ErrorCode::invalid_argument,
                 "the two images are of guests with different parameters");
  }
  for (size_t i = 0; i < after.slices.size(); ++i) {
    const uint64_t from = before.slices[i].progress();
    const uint64_t to = after.slices[i].progress();
    if (to > from) continue;
    return Error(ErrorCode::failed_precondition,
                 "vCPU " + std::to_string(i) +
                     (to == from ? " stands still at " : " went back to ") + std::to_string(to) +
                     " page writes (before: " + std::to_string(from) + ")");
  }
  return {};
}

std::string describe(const Verdict& verdict) noexcept {
  std::string out = verdict.consistent ? "consistent" : "INCONSISTENT";
  out += ": " + std::to_string(verdict.params.pages) + " pages from " + hex(verdict.params.start) +
         ", " + std::to_string(verdict.params.vcpus) + " vCPU" +
         (verdict.params.vcpus == 1 ? "" : "s");
  if (verdict.filling) out += ", still filling";
  out += "\n";
  for (const auto& slice : verdict.slices) {
    out += "  vCPU " + std::to_string(slice.vcpu) + ": " + std::to_string(slice.slice.pages()) +
           " pages, " + std::to_string(slice.filled) + " filled, round " +
           std::to_string(slice.rounds) + ", " + std::to_string(slice.position) +
           " pages into it\n";
  }
  if (verdict.bad) {
    out += "  first bad page: gpa " + hex(verdict.bad->gpa) + " (vCPU " +
           std::to_string(verdict.bad->vcpu) + "): " + verdict.bad->reason + "\n";
  }
  return out;
}

std::string to_json(const Verdict& verdict, const std::optional<std::string>& advance_error,
                    bool advance_checked) noexcept {
  // The only strings are our own sentences, which have nothing that JSON would escape.
  std::string out = std::string("{\"consistent\": ") + (verdict.consistent ? "true" : "false") +
                    ", \"filling\": " + (verdict.filling ? "true" : "false") +
                    ", \"start\": " + std::to_string(verdict.params.start) +
                    ", \"pages\": " + std::to_string(verdict.params.pages) +
                    ", \"vcpus\": " + std::to_string(verdict.params.vcpus) + ", \"slices\": [";
  for (const auto& slice : verdict.slices) {
    if (slice.vcpu != 0) out += ", ";
    out += "{\"vcpu\": " + std::to_string(slice.vcpu) +
           ", \"pages\": " + std::to_string(slice.slice.pages()) +
           ", \"filled\": " + std::to_string(slice.filled) +
           ", \"rounds\": " + std::to_string(slice.rounds) +
           ", \"position\": " + std::to_string(slice.position) +
           ", \"progress\": " + std::to_string(slice.progress()) + "}";
  }
  out += "]";
  if (verdict.bad) {
    out += ", \"bad\": {\"vcpu\": " + std::to_string(verdict.bad->vcpu) +
           ", \"gpa\": " + std::to_string(verdict.bad->gpa) + ", \"reason\": \"" +
           verdict.bad->reason + "\"}";
  }
  if (advance_checked) {
    out += std::string(", \"advanced\": ") + (advance_error ? "false" : "true");
    if (advance_error) out += ", \"advance_error\": \"" + *advance_error + "\"";
  }
  return out + "}";
}

}  // namespace tern::vmm
