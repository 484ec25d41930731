// SPDX-License-Identifier: Apache-2.0
//
// Layout: each table below lists fields in wire order, so that save and load cannot drift apart.
#include "tools/vmm/kvm_vcpu_state.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "tools/vmm/kvm_flex.h"

namespace tern::vmm {
namespace {

constexpr uint32_t kMaxMsrs = 512;
constexpr uint32_t kMaxXsaveBytes = 64 * 1024;
constexpr uint32_t kXsaveLegacyBytes = 4096;
constexpr uint32_t kMsrTsc = 0x10;

Result<void> kvm(int fd, unsigned long request, void* argument, const char* name) noexcept {
  if (::ioctl(fd, request, argument) == 0) return {};
  return errno_error(ErrorCode::device, name, errno);
}

// ---- one visitor writes, one reads: visit() below names every field once

class Saver {
 public:
  explicit Saver(DeviceWriter& writer) noexcept : writer_(writer) {}
  Result<void> operator()(const char* name, uint8_t& value) noexcept {
    writer_.put_u8(name, value);
    return {};
  }
  Result<void> operator()(const char* name, uint16_t& value) noexcept {
    writer_.put_u16(name, value);
    return {};
  }
  Result<void> operator()(const char* name, uint32_t& value) noexcept {
    writer_.put_u32(name, value);
    return {};
  }
  Result<void> operator()(const char* name, __u64& value) noexcept {
    writer_.put_u64(name, value);
    return {};
  }
  void begin(const char* name, const char* type) noexcept { writer_.begin_struct(name, type, 1); }
  void end() noexcept { writer_.end_struct(); }

 private:
  DeviceWriter& writer_;
};

class Loader {
 public:
  explicit Loader(DeviceReader& reader) noexcept : reader_(reader) {}
  Result<void> operator()(const char* name, uint8_t& value) noexcept {
    value = TERN_TRY(reader_.get_u8(name));
    return {};
  }
  Result<void> operator()(const char* name, uint16_t& value) noexcept {
    value = TERN_TRY(reader_.get_u16(name));
    return {};
  }
  Result<void> operator()(const char* name, uint32_t& value) noexcept {
    value = TERN_TRY(reader_.get_u32(name));
    return {};
  }
  Result<void> operator()(const char* name, __u64& value) noexcept {
    value = TERN_TRY(reader_.get_u64(name));
    return {};
  }
  void begin(const char*, const char*) noexcept {}
  void end() noexcept {}

 private:
  DeviceReader& reader_;
};

template <typename Visitor>
Result<void> visit(Visitor& v, kvm_regs& r) noexcept {
  TERN_TRY(v("rax", r.rax));
  TERN_TRY(v("rbx", r.rbx));
  TERN_TRY(v("rcx", r.rcx));
  TERN_TRY(v("rdx", r.rdx));
  TERN_TRY(v("rsi", r.rsi));
  TERN_TRY(v("rdi", r.rdi));
  TERN_TRY(v("rsp", r.rsp));
  TERN_TRY(v("rbp", r.rbp));
  TERN_TRY(v("r8", r.r8));
  TERN_TRY(v("r9", r.r9));
  TERN_TRY(v("r10", r.r10));
  TERN_TRY(v("r11", r.r11));
  TERN_TRY(v("r12", r.r12));
  TERN_TRY(v("r13", r.r13));
  TERN_TRY(v("r14", r.r14));
  TERN_TRY(v("r15", r.r15));
  TERN_TRY(v("rip", r.rip));
  return v("rflags", r.rflags);
}

template <typename Visitor>
Result<void> visit_segment(Visitor& v, const char* name, kvm_segment& s) noexcept {
  v.begin(name, "tern-kvm/segment");
  TERN_TRY(v("base", s.base));
  TERN_TRY(v("limit", s.limit));
  TERN_TRY(v("selector", s.selector));
  TERN_TRY(v("type", s.type));
  TERN_TRY(v("present", s.present));
  TERN_TRY(v("dpl", s.dpl));
  TERN_TRY(v("db", s.db));
  TERN_TRY(v("s", s.s));
  TERN_TRY(v("l", s.l));
  TERN_TRY(v("g", s.g));
  TERN_TRY(v("avl", s.avl));
  TERN_TRY(v("unusable", s.unusable));
  v.end();
  return {};
}

template <typename Visitor>
Result<void> visit(Visitor& v, kvm_sregs& s) noexcept {
  TERN_TRY(visit_segment(v, "cs", s.cs));
  TERN_TRY(visit_segment(v, "ds", s.ds));
  TERN_TRY(visit_segment(v, "es", s.es));
  TERN_TRY(visit_segment(v, "fs", s.fs));
  TERN_TRY(visit_segment(v, "gs", s.gs));
  TERN_TRY(visit_segment(v, "ss", s.ss));
  TERN_TRY(visit_segment(v, "tr", s.tr));
  TERN_TRY(visit_segment(v, "ldt", s.ldt));
  TERN_TRY(v("gdt_base", s.gdt.base));
  TERN_TRY(v("gdt_limit", s.gdt.limit));
  TERN_TRY(v("idt_base", s.idt.base));
  TERN_TRY(v("idt_limit", s.idt.limit));
  TERN_TRY(v("cr0", s.cr0));
  TERN_TRY(v("cr2", s.cr2));
  TERN_TRY(v("cr3", s.cr3));
  TERN_TRY(v("cr4", s.cr4));
  TERN_TRY(v("cr8", s.cr8));
  TERN_TRY(v("efer", s.efer));
  TERN_TRY(v("apic_base", s.apic_base));
  for (auto& word : s.interrupt_bitmap) TERN_TRY(v("interrupt_bitmap", word));
  return {};
}

template <typename Visitor>
Result<void> visit(Visitor& v, kvm_debugregs& d) noexcept {
  for (auto& address : d.db) TERN_TRY(v("db", address));
  TERN_TRY(v("dr6", d.dr6));
  return v("dr7", d.dr7);
}

template <typename Visitor>
Result<void> visit(Visitor& v, kvm_vcpu_events& e) noexcept {
  TERN_TRY(v("exception_injected", e.exception.injected));
  TERN_TRY(v("exception_nr", e.exception.nr));
  TERN_TRY(v("exception_has_error_code", e.exception.has_error_code));
  TERN_TRY(v("exception_pending", e.exception.pending));
  TERN_TRY(v("exception_error_code", e.exception.error_code));
  TERN_TRY(v("interrupt_injected", e.interrupt.injected));
  TERN_TRY(v("interrupt_nr", e.interrupt.nr));
  TERN_TRY(v("interrupt_soft", e.interrupt.soft));
  TERN_TRY(v("interrupt_shadow", e.interrupt.shadow));
  TERN_TRY(v("nmi_injected", e.nmi.injected));
  TERN_TRY(v("nmi_pending", e.nmi.pending));
  TERN_TRY(v("nmi_masked", e.nmi.masked));
  TERN_TRY(v("sipi_vector", e.sipi_vector));
  TERN_TRY(v("flags", e.flags));
  TERN_TRY(v("smm", e.smi.smm));
  TERN_TRY(v("smm_pending", e.smi.pending));
  TERN_TRY(v("smm_inside_nmi", e.smi.smm_inside_nmi));
  return v("smm_latched_init", e.smi.latched_init);
}

template <typename Visitor>
Result<void> visit(Visitor& v, kvm_xcrs& x) noexcept {
  TERN_TRY(v("xcr_count", x.nr_xcrs));
  if (x.nr_xcrs > KVM_MAX_XCRS) return Error(ErrorCode::peer_protocol, "field xcr_count: too many");
  for (uint32_t i = 0; i < x.nr_xcrs; ++i) {
    v.begin("xcr", "tern-kvm/xcr");
    TERN_TRY(v("index", x.xcrs[i].xcr));
    TERN_TRY(v("value", x.xcrs[i].value));
    v.end();
  }
  return {};
}

bool get_msr(int vcpu_fd, uint32_t index, uint64_t& value) noexcept {
  KvmMsrs msr(1);
  msr.elements()[0].index = index;
  if (::ioctl(vcpu_fd, kKvmGetMsrs, msr.data()) != 1) return false;
  value = msr.elements()[0].data;
  return true;
}

bool set_msr(int vcpu_fd, uint32_t index, uint64_t value) noexcept {
  KvmMsrs msr(1);
  msr.elements()[0].index = index;
  msr.elements()[0].data = value;
  return ::ioctl(vcpu_fd, kKvmSetMsrs, msr.data()) == 1;
}

std::string msr_name(uint32_t index, uint64_t value) noexcept {
  char text[64];
  std::snprintf(text, sizeof text, "MSR %#x = %#llx", index,
                static_cast<unsigned long long>(value));
  return text;
}

Result<void> save_msrs(int vcpu_fd, const KvmStateFormat& format, DeviceWriter& writer) noexcept {
  writer.put_u32("msr_count", static_cast<uint32_t>(format.msrs.size()));
  for (const uint32_t index : format.msrs) {
    uint64_t value = 0;
    if (!get_msr(vcpu_fd, index, value)) {
      return Error(ErrorCode::device, "KVM_GET_MSRS: " + msr_name(index, 0));
    }
    writer.begin_struct("msr", "tern-kvm/msr", 1);
    writer.put_u32("index", index);
    writer.put_u64("value", value);
    writer.end_struct();
  }
  return {};
}

struct Msr {
  uint32_t index;
  uint64_t value;
};

Result<std::vector<Msr>> load_msrs(DeviceReader& reader) noexcept {
  const uint32_t count = TERN_TRY(reader.get_u32("msr_count"));
  if (count > kMaxMsrs) return reader.bad_value("msr_count", "more than 512");
  std::vector<Msr> msrs;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t index = TERN_TRY(reader.get_u32("msr.index"));
    const uint64_t value = TERN_TRY(reader.get_u64("msr.value"));
    msrs.push_back({index, value});
  }
  return msrs;
}

Result<void> apply_msrs(int vcpu_fd, const KvmStateFormat& format,
                        const std::vector<Msr>& msrs) noexcept {
  for (const Msr& msr : msrs) {
    if (std::find(format.msrs.begin(), format.msrs.end(), msr.index) == format.msrs.end()) {
      // Zero is what an MSR that this host does not have would hold: nothing is lost.
      if (msr.value == 0) continue;
      return Error(ErrorCode::device, "this host has no " + msr_name(msr.index, msr.value));
    }
    uint64_t now = 0;
    // Some can be set to what they are but to nothing else; and setting costs more than asking.
    if (msr.index != kMsrTsc && get_msr(vcpu_fd, msr.index, now) && now == msr.value) continue;
    if (!set_msr(vcpu_fd, msr.index, msr.value)) {
      return Error(ErrorCode::device, "KVM refuses " + msr_name(msr.index, msr.value));
    }
  }
  return {};
}

Result<std::vector<uint32_t>> msr_list(int kvm_fd) noexcept {
  KvmMsrIndices list(kMaxMsrs);
  if (::ioctl(kvm_fd, kKvmGetMsrIndexList, list.data()) != 0) {
    return errno_error(ErrorCode::unsupported, "KVM_GET_MSR_INDEX_LIST", errno);
  }
  const auto indices = list.elements();
  return std::vector<uint32_t>(indices.begin(), indices.end());
}

}  // namespace

Result<KvmStateFormat> probe_state_format(int kvm_fd, int vm_fd, int vcpu_fd) noexcept {
  KvmStateFormat format;
  for (const int needed : {KVM_CAP_XSAVE, KVM_CAP_XCRS, KVM_CAP_VCPU_EVENTS, KVM_CAP_DEBUGREGS,
                           KVM_CAP_MP_STATE, KVM_CAP_IMMEDIATE_EXIT}) {
    if (::ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed) > 0) continue;
    return Error(ErrorCode::unsupported,
                 "this KVM lacks capability " + std::to_string(needed) + " (see linux/kvm.h)");
  }
  const int xsave2 = ::ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  if (xsave2 > 0) {
    format.xsave2 = true;
    format.xsave_bytes = std::max(kXsaveLegacyBytes, static_cast<uint32_t>(xsave2));
  }
  for (const uint32_t index : TERN_TRY(msr_list(kvm_fd))) {
    uint64_t value = 0;
    if (get_msr(vcpu_fd, index, value) && set_msr(vcpu_fd, index, value)) {
      format.msrs.push_back(index);
    }
  }
  return format;
}

Result<void> save_vcpu_state(int vcpu_fd, const KvmStateFormat& format,
                             DeviceWriter& writer) noexcept {
  kvm_mp_state mp{};
  kvm_regs regs{};
  kvm_sregs sregs{};
  kvm_debugregs debug{};
  kvm_vcpu_events events{};
  kvm_xcrs xcrs{};
  std::vector<std::byte> xsave(format.xsave_bytes);
  // First of all: reading it lets KVM settle what is pending.
  TERN_TRY(kvm(vcpu_fd, KVM_GET_MP_STATE, &mp, "KVM_GET_MP_STATE"));
  TERN_TRY(kvm(vcpu_fd, KVM_GET_REGS, &regs, "KVM_GET_REGS"));
  TERN_TRY(kvm(vcpu_fd, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS"));
  TERN_TRY(kvm(vcpu_fd, KVM_GET_DEBUGREGS, &debug, "KVM_GET_DEBUGREGS"));
  TERN_TRY(kvm(vcpu_fd, KVM_GET_VCPU_EVENTS, &events, "KVM_GET_VCPU_EVENTS"));
  TERN_TRY(kvm(vcpu_fd, KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS"));
  TERN_TRY(
      kvm(vcpu_fd, format.xsave2 ? kKvmGetXsave2 : kKvmGetXsave, xsave.data(), "KVM_GET_XSAVE"));
  Saver saver(writer);
  writer.put_u32("mp_state", mp.mp_state);
  TERN_TRY(visit(saver, regs));
  TERN_TRY(visit(saver, sregs));
  TERN_TRY(visit(saver, debug));
  TERN_TRY(visit(saver, events));
  TERN_TRY(visit(saver, xcrs));
  writer.put_u32("xsave_bytes", format.xsave_bytes);
  writer.put_buffer("xsave", xsave);
  return save_msrs(vcpu_fd, format, writer);
}

Result<void> load_vcpu_state(int vcpu_fd, const KvmStateFormat& format, DeviceReader& reader,
                             kvm_run& run) noexcept {
  kvm_mp_state mp{};
  kvm_regs regs{};
  kvm_sregs sregs{};
  kvm_debugregs debug{};
  kvm_vcpu_events events{};
  kvm_xcrs xcrs{};
  Loader loader(reader);
  mp.mp_state = TERN_TRY(reader.get_u32("mp_state"));
  TERN_TRY(visit(loader, regs));
  TERN_TRY(visit(loader, sregs));
  TERN_TRY(visit(loader, debug));
  TERN_TRY(visit(loader, events));
  TERN_TRY(visit(loader, xcrs));
  const uint32_t xsave_bytes = TERN_TRY(reader.get_u32("xsave_bytes"));
  if (xsave_bytes < kXsaveLegacyBytes || xsave_bytes > kMaxXsaveBytes) {
    return reader.bad_value("xsave_bytes", "not a size of an XSAVE area");
  }
  const auto area = TERN_TRY(reader.get_buffer("xsave", xsave_bytes));
  // A larger area of the source may hold only zeros past what this host knows.
  std::vector<std::byte> xsave(std::max(format.xsave_bytes, xsave_bytes));
  std::memcpy(xsave.data(), area.data(), area.size());
  const auto past = std::span(xsave).subspan(format.xsave_bytes);
  if (std::any_of(past.begin(), past.end(), [](std::byte b) { return b != std::byte{0}; })) {
    return reader.bad_value("xsave", "the source has CPU state that this host does not know");
  }
  const auto msrs = TERN_TRY(load_msrs(reader));

  // Control registers come first: what XCRS, XSAVE and MSRs may hold depends on them.
  TERN_TRY(kvm(vcpu_fd, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS"));
  TERN_TRY(kvm(vcpu_fd, KVM_SET_REGS, &regs, "KVM_SET_REGS"));
  if (xcrs.nr_xcrs > 0) TERN_TRY(kvm(vcpu_fd, KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS"));
  TERN_TRY(kvm(vcpu_fd, kKvmSetXsave, xsave.data(), "KVM_SET_XSAVE"));
  TERN_TRY(kvm(vcpu_fd, KVM_SET_DEBUGREGS, &debug, "KVM_SET_DEBUGREGS"));
  TERN_TRY(apply_msrs(vcpu_fd, format, msrs));
  TERN_TRY(kvm(vcpu_fd, KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS"));
  TERN_TRY(kvm(vcpu_fd, KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE"));
  // Without an interrupt controller in the kernel, KVM takes these two from here at each entry.
  run.cr8 = sregs.cr8;
  run.apic_base = sregs.apic_base;
  return {};
}

}  // namespace tern::vmm
