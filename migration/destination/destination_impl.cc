// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/destination_impl.h"

#include <array>

#include "base/wire_int.h"
#include "migration/params/validate.h"
#include "migration/source/start_thread.h"
#include "ram/wire/multifd_packet.h"
#include "transport/listen.h"

namespace tern {
namespace {

// After the last word both sides close; until the peer has, unread bytes of its own would turn our
// close into a reset that may overtake that last word.
constexpr Milliseconds kPartingTime{2000};
constexpr size_t kPartingBytes = 64u << 20;
// Who has multifd on sent the first words of a channel at once.
constexpr Milliseconds kLookTime{50};

}  // namespace

Result<std::unique_ptr<MigrationDestination>> MigrationDestination::create(
    const Machine& machine, const Settings& settings) noexcept {
  TERN_TRY(params::validate(settings));
  if (machine.vcpus == nullptr)
    return Error(ErrorCode::invalid_argument, "Machine::vcpus is not set");
  if (machine.name.empty() || machine.name.size() > 255) {
    return Error(ErrorCode::invalid_argument, "the machine name must have 1 to 255 bytes");
  }
  auto memory = TERN_TRY(GuestMemory::create(machine.ram));
  return std::unique_ptr<MigrationDestination>(new DestinationImpl(machine, settings, memory));
}

DestinationImpl::DestinationImpl(const Machine& machine, const Settings& settings,
                                 GuestMemory memory) noexcept
    : machine_(machine),
      settings_(settings),
      memory_(memory),
      clock_(machine.clock != nullptr ? *machine.clock : system_clock()),
      log_(machine.log != nullptr ? *machine.log : null_log()),
      session_(Side::destination, machine.events,
               settings.peer_version.value_or(PeerVersion::tern)),
      progress_(clock_),
      announce_(announce_parameters(settings)) {}

DestinationImpl::~DestinationImpl() {
  {
    const MutexLock lock(mutex_);
    stopping_.store(true);
    // Once the guest is being taken over, the source must still hear of it: the thread ends by
    // itself soon.
    if (!taking_over_) {
      if (listener_) listener_->abort();
      if (channel_) channel_->shutdown();
      if (multifd_) multifd_->shut_down();
    }
  }
  if (thread_.joinable()) thread_.join();
}

Result<void> DestinationImpl::listen(const Address& address) noexcept {
  auto listener = TERN_TRY(transport::make_listener(address, {settings_.stall_timeout}));
  auto bound = listener->bound();
  return listen_with(std::move(listener), std::move(bound));
}

Result<void> DestinationImpl::listen_with(std::unique_ptr<Listener> listener,
                                          std::vector<Address> bound) noexcept {
  if (thread_.joinable()) {
    return Error(ErrorCode::failed_precondition,
                 "this destination listens or has listened; create another");
  }
  security_ = TERN_TRY(Security::of_destination(machine_, settings_));
  if (settings_.multifd && !listener->accepts_many()) {
    return Error(ErrorCode::invalid_argument, std::string(kNeedsManyChannels));
  }
  if (settings_.multifd) {
    multifd_ = std::make_unique<MultifdDestination>(machine_, settings_, progress_, threads_, log_,
                                                    security_, [this] { hang_up(); });
  }
  if (settings_.compress) compress_ = std::make_unique<CompressDestination>(settings_, threads_);
  {
    const MutexLock lock(mutex_);
    listener_ = std::move(listener);
    bound_ = std::move(bound);
  }
  TERN_TRY(session_.post(Trigger::start));
  auto thread = start_thread([this] { thread_main(); });
  if (thread) {
    thread_ = std::move(*thread);
    return {};
  }
  session_.post(Trigger::listen_failed).ignore("setup takes it");
  const MutexLock lock(mutex_);
  listener_.reset();
  bound_.clear();
  return std::move(thread).error();
}

std::vector<Address> DestinationImpl::listening() const noexcept {
  const MutexLock lock(mutex_);
  return bound_;
}

void DestinationImpl::thread_main() noexcept {
  const auto listed = threads_.enter(settings_.thread_prefix, "mig/dst/listen");
  finish(receive());
}

Result<void> DestinationImpl::receive() noexcept {
  TERN_TRY(accept_source());
  progress_.begin();
  TERN_TRY(session_.post(Trigger::connected));
  if (compress_) TERN_TRY(compress_->start());
  auto loaded = loader_->load();
  if (compress_) compress_->stop();
  const RunState source_state = TERN_TRY(std::move(loaded));
  if (multifd_) multifd_->release();
  TERN_TRY(check_no_multifd());
  if (loader_->go_is_needed()) {
    TERN_TRY(loader_->await_go().context("waiting for the source's go"));
  }
  {
    const MutexLock lock(mutex_);
    if (stopping_.load()) return Error(ErrorCode::cancelled, "the destination is being taken down");
    // A QEMU source with a return path waits for our SHUT. If it is gone, it has its guest back:
    // ours must not run.
    if (!loader_->go_is_needed() && answers_->is_open() && channel_->peer_closed()) {
      return Error(ErrorCode::channel,
                   "the source is gone: it may run the guest again, so it does not run here");
    }
    taking_over_ = true;
  }
  return take_over(source_state);
}

Result<void> DestinationImpl::use_channel(std::unique_ptr<Channel> channel) noexcept {
  channel->set_write_deadline({"x-stall-timeout", Milliseconds(settings_.stall_timeout)});
  answers_ = std::make_unique<ReturnSender>(*channel);
  loader_ = std::make_unique<StreamLoader>(
      *channel, machine_, settings_, memory_, *answers_, progress_,
      [this] { return return_path_opened(); }, [this] { return check_no_multifd(); },
      multifd_.get(), compress_.get());
  const MutexLock lock(mutex_);
  channel_ = std::move(channel);
  if (stopping_.load()) return Error(ErrorCode::cancelled, "the destination is being taken down");
  progress_.set_choice(Progress::Choice::transport, channel_->describe());
  return {};
}

Result<void> DestinationImpl::accept_channels() noexcept {
  Listener* listener = nullptr;
  {
    const MutexLock lock(mutex_);
    listener = listener_.get();
  }
  auto main = TERN_TRY(multifd_->collect(*listener));
  TERN_TRY(use_channel(std::move(main)));
  if (TERN_TRY(loader_->read_opening())) return {};
  return Error(ErrorCode::channel, "end of the main channel after its first word");
}

Result<void> DestinationImpl::accept_source() noexcept {
  if (multifd_) return accept_channels();
  for (;;) {
    Listener* listener = nullptr;
    {
      const MutexLock lock(mutex_);
      listener = listener_.get();
    }
    auto plain = TERN_TRY(listener->accept());
    const std::string peer = plain->describe();
    auto secured = TERN_TRY(security_.wrap(std::move(plain)));
    TERN_TRY(use_channel(std::move(secured.channel)));
    log_.log(LogLevel::info, "incoming migration from " + peer);
    if (TERN_TRY(greet(secured))) return {};
    // A port scanner or health check that said nothing is no reason to fail.
    log_.log(LogLevel::warning, "a connection was closed before it said anything; still listening");
    if (!listener->accepts_many())
      return Error(ErrorCode::channel, "end of stream before its first byte");
    loader_.reset();
    answers_.reset();
    const MutexLock lock(mutex_);
    channel_.reset();
  }
}

// A source with multifd that syncs at the end of sections (QEMU 7.2) leaves no trace of it in the
// main stream: its pages are in connections that nobody here has taken. Asked when RAM begins, as
// such a source may then wait for ever, and once more before its guest would run.
Result<void> DestinationImpl::check_no_multifd() noexcept {
  if (multifd_) return {};
  Listener* listener = nullptr;
  {
    const MutexLock lock(mutex_);
    listener = listener_.get();
  }
  for (;;) {
    const auto other = listener->accept_within(Milliseconds(0));
    if (!other) return {};
    (*other)->set_read_deadline({"a look at its first bytes", kLookTime});
    std::array<std::byte, 4> magic{};
    const auto got = (*other)->read_some(magic);
    if (got && *got == magic.size() && load_be<uint32_t>(magic.data()) == kMultifdMagic) {
      return Error(ErrorCode::peer_protocol,
                   "capability multifd is on at the source and off here: its pages are not here");
    }
  }
}

// false: whoever it was closed before it said anything.
Result<bool> DestinationImpl::greet(Security::Secured& secured) noexcept {
  if (!TERN_TRY(secured.handshake())) return false;
  Channel* channel = nullptr;
  {
    const MutexLock lock(mutex_);
    channel = channel_.get();
  }
  channel->set_write_deadline({"x-stall-timeout", Milliseconds(settings_.stall_timeout)});
  return loader_->read_opening();
}

Result<void> DestinationImpl::return_path_opened() noexcept {
  if (!settings_.switchover_ack) return {};
  {
    const MutexLock lock(mutex_);
    ack_due_ = true;
  }
  return acknowledge_if_free();
}

Result<void> DestinationImpl::acknowledge_if_free() noexcept {
  {
    const MutexLock lock(mutex_);
    if (!ack_due_ || switchover_holds_ > 0) return {};
    ack_due_ = false;
  }
  return answers_->switchover_ack();
}

void DestinationImpl::hold_switchover() noexcept {
  const MutexLock lock(mutex_);
  ++switchover_holds_;
}

void DestinationImpl::release_switchover() noexcept {
  {
    const MutexLock lock(mutex_);
    if (switchover_holds_ > 0) --switchover_holds_;
  }
  acknowledge_if_free().ignore("a broken link is noticed by the reader of the stream");
}

Result<void> DestinationImpl::take_over(RunState source_state) noexcept {
  if (source_state == RunState::running || source_state == RunState::suspended) {
    if (autostart_.load()) {
      TERN_TRY(machine_.vcpus->resume_all().context("starting the guest"));
      announce();
    } else {
      machine_.vcpus->set_stopped_state(RunState::paused);
    }
  } else {
    machine_.vcpus->set_stopped_state(source_state);
  }
  return {};
}

void DestinationImpl::announce() noexcept {
  // A `stop` may have come while it loaded; a guest that stands still is not told to be here.
  if (machine_.announcer == nullptr || machine_.vcpus->run_state() != RunState::running) return;
  announcer_ = std::make_unique<Announcer>(*machine_.announcer, settings_.thread_prefix, threads_);
  AnnounceParameters parameters;
  {
    const MutexLock lock(mutex_);
    parameters = announce_;
  }
  const auto begun = announcer_->start(parameters, {});
  if (!begun) log_.log(LogLevel::warning, "announcement: " + begun.error().message());
}

void DestinationImpl::update(const Settings& settings) noexcept {
  const MutexLock lock(mutex_);
  announce_ = announce_parameters(settings);
}

void DestinationImpl::yank() noexcept {
  const MutexLock lock(mutex_);
  // Once the guest is being taken over the source must still hear of it.
  const bool begun = channel_ || (multifd_ && multifd_->has_begun());
  if (!begun || taking_over_) return;
  yanked_.store(true);
  log_.log(LogLevel::warning, "the migration's connection is shut down by yank");
  if (channel_) channel_->shutdown();
  if (multifd_) multifd_->shut_down();
}

void DestinationImpl::part_with_source() noexcept {
  Channel* channel = nullptr;
  {
    const MutexLock lock(mutex_);
    channel = channel_.get();
  }
  if (channel == nullptr) return;
  channel->finish_writing();
  channel->set_read_deadline({"parting", kPartingTime});
  std::vector<std::byte> sink(64u << 10);
  for (size_t left = kPartingBytes; left > 0;) {
    const auto got = channel->read_some(sink);
    if (!got || *got == 0) break;
    left -= std::min(left, *got);
  }
  channel->shutdown();
}

void DestinationImpl::hang_up() noexcept {
  const MutexLock lock(mutex_);
  if (channel_) channel_->shutdown();
}

void DestinationImpl::finish(Result<void> result) noexcept {
  progress_.end();
  {
    const MutexLock lock(mutex_);
    bound_.clear();
  }
  const bool open = answers_ && answers_->is_open();
  if (result) {
    progress_.set_ending(Ending::taken);
    log_.log(LogLevel::info, "incoming migration completed");
    session_.post(Trigger::finished).ignore("active -> completed is in the table");
    if (open) {
      const auto sent = answers_->shut(0);
      if (!sent) {
        log_.log(LogLevel::warning,
                 "the guest is here, but the source could not be told: " + sent.error().message());
      }
    }
    part_with_source();
    if (multifd_) multifd_->close();
  } else {
    progress_.set_ending(Ending::not_taken);
    if (multifd_) {
      // What broke one channel is why the main stream was shut down.
      if (const auto first = multifd_->failure()) result = *first;
      multifd_->shut_down();
      multifd_->close();
    }
    if (yanked_.load()) result = Error(ErrorCode::channel, "the connection was shut down by yank");
    if (open) answers_->shut(1).ignore("the close that follows says the same");
    if (!stopping_.load())
      log_.log(LogLevel::error, "incoming migration failed: " + result.error().message());
    // Who was told reads it before we close. Without a return path only the close tells, and the
    // sooner it comes the fewer bytes the source counts as sent.
    open ? part_with_source() : hang_up();
    if (stopping_.load() && session_.status() == Status::setup) {
      session_.post(Trigger::cancel).ignore("setup -> none is in the table");
    } else {
      session_.fail(result.error()).ignore("setup and active take an error");
    }
  }
  const MutexLock lock(mutex_);
  listener_.reset();
}

StatsSnapshot DestinationImpl::stats() const noexcept {
  StatsSnapshot s = progress_.snapshot();
  s.status = session_.visible_status();
  if (const auto error = session_.first_error()) s.error_desc = error->message();
  return s;
}

void DestinationImpl::wait() noexcept { session_.wait_ended(); }

}  // namespace tern
