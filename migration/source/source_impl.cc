// SPDX-License-Identifier: Apache-2.0
#include "migration/source/source_impl.h"

#include "migration/params/validate.h"
#include "migration/source/start_thread.h"
#include "transport/connect.h"

namespace tern {
namespace {

PeerVersion choose_dialect(const Machine& machine, const Settings& settings) noexcept {
  if (settings.peer_version) return *settings.peer_version;
  return peer_version_of_machine(machine.name).value_or(PeerVersion::tern);
}

}  // namespace

Result<std::unique_ptr<MigrationSource>> MigrationSource::create(
    const Machine& machine, const Settings& settings) noexcept {
  TERN_TRY(params::validate(settings));
  if (machine.vcpus == nullptr)
    return Error(ErrorCode::invalid_argument, "Machine::vcpus is not set");
  if (machine.name.empty() || machine.name.size() > 255) {
    return Error(ErrorCode::invalid_argument, "the machine name must have 1 to 255 bytes");
  }
  auto memory = TERN_TRY(GuestMemory::create(machine.ram));
  return std::unique_ptr<MigrationSource>(new SourceImpl(machine, settings, memory));
}

SourceImpl::SourceImpl(const Machine& machine, const Settings& settings,
                       GuestMemory memory) noexcept
    : settings_(settings),
      machine_(with_own_view(machine)),
      dialect_(choose_dialect(machine, settings)),
      memory_(memory),
      clock_(machine.clock != nullptr ? *machine.clock : system_clock()),
      log_(machine.log != nullptr ? *machine.log : null_log()),
      session_(Side::source, machine.events, dialect_),
      progress_(clock_),
      context_{machine_,         settings_, dialect_, live_,           session_,
               progress_,        answers_,  commit_,  continue_asked_, yanked_,
               channel_failure_, clock_,    log_},
      unplug_(context_) {
  live_.store(settings);
  if (!dirty_view_) return;
  dirty_view_->on_failure([this](const Error& why) {
    session_.record(why);
    wake();
  });
}

Machine SourceImpl::with_own_view(Machine machine) noexcept {
  if (machine.harvester == nullptr && machine.tracker != nullptr) {
    own_harvester_ =
        DirtyHarvester::create(*machine.tracker, machine.log != nullptr ? *machine.log : null_log(),
                               settings_.thread_prefix);
    machine.harvester = own_harvester_.get();
  }
  if (settings_.dirty_limit && machine.dirty_limit == nullptr && machine.harvester != nullptr) {
    auto limit = DirtyLimit::create(
        {machine.harvester, machine.vcpus, machine.ram, machine.log, settings_.thread_prefix});
    if (limit) own_dirty_limit_ = std::move(*limit);  // else it is said when it is needed
    machine.dirty_limit = own_dirty_limit_.get();
  }
  if (machine.harvester != nullptr) dirty_view_ = machine.harvester->consumer();
  machine.tracker = dirty_view_.get();
  return machine;
}

SourceImpl::~SourceImpl() {
  // Too late to cancel: the peer's last word is not waited for, it may hang for minutes. The
  // outcome is then unknown and the guest stays stopped, as after any lost link.
  if (!cancel() && is_running(session_.status())) yank();
  if (main_thread_.joinable()) main_thread_.join();
}

Result<void> SourceImpl::start(const Address& address) noexcept {
  auto connector = TERN_TRY(transport::make_connector(address, {settings_.stall_timeout}));
  return start_with(std::move(connector), hostname_of(address));
}

Result<void> SourceImpl::start_with(std::unique_ptr<Connector> connector,
                                    std::string hostname) noexcept {
  if (main_thread_.joinable()) {
    return Error(ErrorCode::failed_precondition,
                 "this migration was started before; create another");
  }
  hostname_ = std::move(hostname);
  if (settings_.multifd && !connector->connects_many()) {
    return Error(ErrorCode::invalid_argument, std::string(kNeedsManyChannels));
  }
  if (settings_.compress && dialect_ >= PeerVersion::qemu_9_1) {
    return Error(ErrorCode::invalid_argument,
                 "capability 'compress': " + std::string(to_string(dialect_)) +
                     " cannot read compressed pages, QEMU 9.0 was the last that could");
  }
  if (settings_.multifd) {
    progress_.set_channels(settings_.multifd_channels);
    multifd_ = std::make_unique<MultifdSource>(context_, memory_, threads_, [this] { wake(); });
  }
  progress_.begin();
  progress_.set_choice(Progress::Choice::transport, connector->describe());
  {
    const MutexLock lock(mutex_);
    connector_ = std::move(connector);
  }
  TERN_TRY(session_.post(Trigger::start));
  auto thread = start_thread([this] { thread_main(); });
  if (thread) {
    main_thread_ = std::move(*thread);
    return {};
  }
  // As every failure: setup, then failed, and the guest runs on.
  session_.fail(thread.error()).ignore("setup takes an error");
  progress_.set_ending(Ending::kept);
  progress_.end();
  session_.post(Trigger::cleaned_up).ignore("failing takes it");
  return std::move(thread).error();
}

void SourceImpl::thread_main() noexcept {
  const auto listed = threads_.enter(settings_.thread_prefix, "mig/src/main");
  finish(migrate());
}

// The table of contents of a precopy migration.
Result<void> SourceImpl::migrate() noexcept {
  TERN_TRY(connect());
  TERN_TRY(link_->send_opening());
  if (link_->has_return_path()) TERN_TRY(start_return_thread());
  TERN_TRY(link_->agree_on_dialect());

  const PageOps& ops = best_page_ops();
  progress_.set_choice(Progress::Choice::page_ops, ops.name);
  if (multifd_) TERN_TRY(agree_on_packets());
  if (settings_.compress) {
    compress_ = std::make_unique<CompressSource>(context_, threads_);
    TERN_TRY(compress_->start());
    progress_.show_compression();
  }
  precopy_ = std::make_unique<Precopy>(context_, *link_, memory_, ops, multifd_.get(),
                                       compress_.get(), threads_);
  TERN_TRY(unplug_.request());
  TERN_TRY(precopy_->set_up());
  progress_.setup_done();
  TERN_TRY(context_.check());
  TERN_TRY(unplug_.wait(*link_));

  TERN_TRY(precopy_->iterate());

  switchover_ = std::make_unique<Switchover>(context_, *link_, *precopy_);
  return switchover_->run();
}

Result<void> SourceImpl::connect() noexcept {
  Connector* connector = nullptr;
  {
    const MutexLock lock(mutex_);
    connector = connector_.get();
  }
  const Security security = TERN_TRY(Security::of_source(machine_, settings_, hostname_));
  auto channel =
      TERN_TRY(connector->connect({"x-connect-timeout", Milliseconds(settings_.connect_timeout)}));
  auto secured = TERN_TRY(security.wrap(std::move(channel)));
  {
    const MutexLock lock(mutex_);
    channel_ = secured.channel.get();
  }
  auto safe = secure(secured);
  if (!safe) {
    const MutexLock lock(mutex_);
    channel_ = nullptr;  // it goes with `secured`
    return safe;
  }
  link_ = std::make_unique<SourceLink>(std::move(secured.channel), context_);
  return multifd_ ? connect_channels(*connector, security) : Result<void>();
}

Result<void> SourceImpl::secure(Security::Secured& secured) noexcept {
  TERN_TRY(context_.check());  // a cancel before channel_ was known had nothing to shut down
  if (secured.tls == nullptr) return {};
  if (!TERN_TRY(secured.handshake())) {
    return Error(ErrorCode::channel,
                 "TLS handshake failed: the destination closed the connection at once");
  }
  progress_.set_choice(Progress::Choice::transport, secured.channel->describe());
  return context_.check();
}

// After the main channel, so that a destination that cannot tell them apart takes it for what it
// is; one after the other: the threads do what takes time.
Result<void> SourceImpl::connect_channels(Connector& connector, const Security& security) noexcept {
  const Deadline deadline = context_.deadline("x-connect-timeout", settings_.connect_timeout);
  for (uint32_t i = 0; i < settings_.multifd_channels; ++i) {
    const std::string name = "multifd channel " + std::to_string(i);
    auto plain = TERN_TRY(connector.connect(deadline).context(name));
    auto secured = TERN_TRY(security.wrap(std::move(plain)));
    TERN_TRY(multifd_->add(std::move(secured)));
    TERN_TRY(context_.check());
  }
  return multifd_->wait_ready();
}

Result<void> SourceImpl::agree_on_packets() noexcept {
  if (context_.dialect == PeerVersion::tern && link_->has_return_path() &&
      !link_->speaks(kFeatureGo)) {
    return Error(ErrorCode::failed_precondition,
                 "the destination is not tern, and with multifd the wire does not tell which rule "
                 "for sync points a QEMU has: set x-peer-version to its version (qemu-7.2 …)");
  }
  MultifdStyle style;
  style.codec = find_page_codec(settings_.multifd_compression);
  style.level = settings_.multifd_compression == MultifdCompression::zlib
                    ? settings_.multifd_zlib_level
                    : settings_.multifd_zstd_level;
  style.zero_pages = zero_page_place(context_, true) == ZeroPageDetection::multifd;
  style.zero_copy = settings_.zero_copy_send;
  style.adaptive = settings_.multifd_adaptive && link_->speaks(kFeatureMixedMethods);
  return multifd_->set_style(style);
}

Result<void> SourceImpl::start_return_thread() noexcept {
  return_thread_ = TERN_TRY(start_thread([this] {
    const auto listed = threads_.enter(settings_.thread_prefix, "mig/src/return");
    answers_.run(link_->channel());
  }));
  return {};
}

void SourceImpl::wake() noexcept {
  {
    const MutexLock lock(mutex_);
    if (connector_) connector_->abort();
    if (channel_ != nullptr) channel_->shutdown();
  }
  if (multifd_) multifd_->shut_down();
  answers_.poke();
}

void SourceImpl::wind_down(bool completed) noexcept {
  precopy_.reset();  // stops tracking
  compress_.reset();
  if (multifd_) {
    if (!completed) multifd_->shut_down();
    multifd_->close();
  }
  if (return_thread_.joinable()) {
    // After SHUT it has ended by itself; otherwise it still reads.
    if (!answers_.said().shut) link_->channel().shutdown();
    return_thread_.join();
  }
  {
    const MutexLock lock(mutex_);
    channel_ = nullptr;
    connector_.reset();
  }
  link_.reset();
}

void SourceImpl::finish(Result<void> result) noexcept {
  if (result) {
    wind_down(true);
    progress_.end();
    log_.log(LogLevel::info, "migration completed");
    session_.post(Trigger::finished).ignore("device -> completed is in the table");
    return;
  }
  const bool unknown = result.error().code() == ErrorCode::outcome_unknown;
  // What a write or read said about the dead link is less than why it died.
  if (const auto failure = channel_failure_.get(); failure && !unknown) result = *failure;
  if (yanked_.load() && !unknown) result = SourceContext::yank_error();
  if (session_.status() == Status::cancelling) {
    // What broke is the consequence of the cancel, not an error to report.
    session_.post(Trigger::error).ignore("cancelling stays cancelling");
  } else {
    log_.log(LogLevel::error, "migration failed: " + result.error().message());
    session_.fail(result.error()).ignore("every running state takes an error");
  }
  progress_.set_downtime(switchover_ ? switchover_->phases() : DowntimePhases{}, false);
  if (precopy_) precopy_->release_guest();
  if (switchover_) {
    const auto undone = switchover_->undo();
    if (!undone) {
      session_.record(undone.error());
      log_.log(LogLevel::error, "the guest cannot be resumed: " + undone.error().message());
    }
  }
  unplug_.undo();
  if (!unknown) progress_.set_ending(Ending::kept);
  progress_.set_expected_downtime(std::nullopt);
  switchover_.reset();
  wind_down(false);
  progress_.end();
  session_.post(Trigger::cleaned_up).ignore("failing and cancelling take it");
}

Result<void> SourceImpl::continue_from(Status paused_at) noexcept {
  const Status now = session_.visible_status();
  if (now != paused_at) {
    return Error(ErrorCode::failed_precondition,
                 "Migration not in expected state: " + std::string(to_string(now)));
  }
  if (paused_at == Status::pre_switchover) {
    continue_asked_.store(true);
    answers_.poke();
  }
  return {};
}

Result<void> SourceImpl::cancel() noexcept {
  TERN_TRY(commit_.cancel(session_));
  log_.log(LogLevel::info, "migration is being cancelled");
  wake();
  return {};
}

void SourceImpl::yank() noexcept {
  if (!is_running(session_.status())) return;
  yanked_.store(true);
  log_.log(LogLevel::warning, "the migration's connection is shut down by yank");
  wake();
}

void SourceImpl::update(const Settings& settings) noexcept {
  live_.store(settings);
  answers_.poke();
}

StatsSnapshot SourceImpl::stats() const noexcept {
  StatsSnapshot s = progress_.snapshot();
  s.status = session_.visible_status();
  if (const auto error = session_.first_error()) s.error_desc = error->message();
  return s;
}

std::vector<ThreadInfo> SourceImpl::threads() const noexcept {
  std::vector<ThreadInfo> all = threads_.list();
  if (own_harvester_) {
    for (ThreadInfo& thread : own_harvester_->threads()) all.push_back(std::move(thread));
  }
  if (own_dirty_limit_) {
    for (ThreadInfo& thread : own_dirty_limit_->threads()) all.push_back(std::move(thread));
  }
  return all;
}

void SourceImpl::wait() noexcept { session_.wait_ended(); }

}  // namespace tern
