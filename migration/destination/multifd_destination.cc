// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/multifd_destination.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/replay_channel.h"
#include "base/wire_int.h"
#include "migration/source/start_thread.h"
#include "migration/stream/framing.h"
#include "ram/wire/multifd_packet.h"

namespace tern {
namespace {

constexpr size_t kMagicBytes = 4;
// Connections beyond the migration's own whose first bytes are awaited: a port scanner's few, not
// an attacker's many.
constexpr size_t kStrangers = 8;
constexpr Milliseconds kPartingTime{2000};
constexpr Milliseconds kLook{100};

Error ended() noexcept { return {ErrorCode::cancelled, "the migration's channels were shut down"}; }

std::string uuid_text(const Uuid& uuid) noexcept {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", uuid[i]);
    text += byte;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

/// It waited for nothing, or had to make room for others.
bool is_silence(const Error& error) noexcept {
  return error.code() == ErrorCode::timed_out || error.code() == ErrorCode::cancelled;
}

/// Reads exactly this much. 0: the channel ended before the first byte.
Result<size_t> read_exactly(Channel& channel, std::span<std::byte> into) noexcept {
  size_t have = 0;
  while (have < into.size()) {
    const size_t got = TERN_TRY(channel.read_some(into.subspan(have)));
    if (got == 0 && have == 0) return size_t{0};
    if (got == 0) {
      return Error(ErrorCode::channel, "end of the channel after " + std::to_string(have) +
                                           " bytes of its first words");
    }
    have += got;
  }
  return have;
}

}  // namespace

class MultifdDestination::Waiter final : public SyncWaiter {
 public:
  Waiter(MultifdDestination& all, size_t index) noexcept : all_(all), index_(index) {}
  Result<void> arrive() noexcept override {
    TERN_TRY(all_.arrive(index_));
    synced_ = true;
    return {};
  }
  // The list of blocks is complete when the main stream has come to its first point.
  RamTarget* target() noexcept override { return synced_ ? all_.target_.load() : nullptr; }
  bool mixes_methods() noexcept override { return all_.mixed_.load(); }

 private:
  MultifdDestination& all_;
  const size_t index_;
  bool synced_ = false;
};

MultifdDestination::MultifdDestination(const Machine& machine, const Settings& settings,
                                       Progress& progress, ThreadList& threads, LogSink& log,
                                       Security security, std::function<void()> on_failure) noexcept
    : machine_(machine),
      settings_(settings),
      progress_(progress),
      threads_(threads),
      log_(log),
      security_(std::move(security)),
      on_failure_(std::move(on_failure)),
      lanes_(settings.multifd_channels) {
  progress.set_channels(settings.multifd_channels);
}

MultifdDestination::~MultifdDestination() {
  shut_down();
  close();
}

Result<std::unique_ptr<Channel>> MultifdDestination::collect(Listener& listener) noexcept {
  listener_ = &listener;
  accept_thread_ = TERN_TRY(start_thread([this, &listener] {
    const auto listed = threads_.enter(settings_.thread_prefix, "mig/dst/accept");
    accept_all(listener);
  }));
  const MutexLock lock(mutex_);
  std::optional<std::chrono::steady_clock::time_point> until;
  while (!is_complete()) {
    TERN_TRY(check());
    if (!anybody_) {
      changed_.wait(mutex_);
      continue;
    }
    const auto now = std::chrono::steady_clock::now();
    if (!until) until = now + Milliseconds(settings_.channel_timeout);
    if (now >= *until) return missing();
    changed_.wait_for(mutex_, *until - now);
  }
  TERN_TRY(check());
  return std::move(main_);
}

bool MultifdDestination::has_begun() const noexcept {
  const MutexLock lock(mutex_);
  return anybody_;
}

bool MultifdDestination::is_complete() const noexcept {
  const auto here = [](const Lane& lane) { return lane.here; };
  return main_came_ && std::all_of(lanes_.begin(), lanes_.end(), here);
}

Error MultifdDestination::missing() const noexcept {
  const auto here = [](const Lane& lane) { return lane.here; };
  const auto count = std::count_if(lanes_.begin(), lanes_.end(), here);
  return {ErrorCode::timed_out,
          "x-channel-timeout: " + std::to_string(count) + " of " + std::to_string(lanes_.size()) +
              " multifd channels and " + (main_came_ ? "the" : "no") +
              " main channel came within " + std::to_string(settings_.channel_timeout) +
              " ms: multifd and multifd-channels must be equal on both sides"};
}

void MultifdDestination::accept_all(Listener& listener) noexcept {
  for (;;) {
    auto wire = listener.accept();
    if (!wire) {
      if (wire.error().code() != ErrorCode::cancelled) fail(wire.error());
      return;
    }
    const auto admitted = admit(std::move(*wire));
    if (!admitted) {
      fail(admitted.error());
      return;
    }
  }
}

std::vector<std::unique_ptr<MultifdDestination::Connection>>
MultifdDestination::weed_out() noexcept {
  std::vector<std::unique_ptr<Connection>> out;
  std::vector<std::unique_ptr<Connection>> kept;
  for (auto& connection : connections_) {
    (connection->ended ? out : kept).push_back(std::move(connection));
  }
  connections_.swap(kept);
  if (connections_.size() < lanes_.size() + 1 + kStrangers) return out;
  // The migration's own speak at once. Whoever waits for nothing must not keep them out.
  const auto silent = [](const auto& connection) { return !connection->known; };
  const auto oldest = std::find_if(connections_.begin(), connections_.end(), silent);
  if (oldest == connections_.end()) return out;
  (*oldest)->secured.channel->shutdown();
  out.push_back(std::move(*oldest));
  connections_.erase(oldest);
  return out;
}

Result<void> MultifdDestination::admit(std::unique_ptr<Channel> wire) noexcept {
  auto connection = std::make_unique<Connection>();
  connection->peer = wire->describe();
  connection->secured = TERN_TRY(security_.wrap(std::move(wire)));
  Connection* const it = connection.get();
  std::vector<std::unique_ptr<Connection>> over;
  {
    const MutexLock lock(mutex_);
    over = weed_out();
    if (!shut_ && !is_complete()) connections_.push_back(std::move(connection));
  }
  for (const auto& old : over) old->thread.join();
  if (connection) {
    log_.log(LogLevel::warning,
             "connection from " + it->peer + " closed: all channels of the migration are there");
    return {};
  }
  auto thread = TERN_TRY(start_thread([this, it] {
    const auto done = serve(*it);
    if (!done) fail(Result<void>(done.error()).context("connection from " + it->peer).error());
    const MutexLock lock(mutex_);
    it->ended = true;
    changed_.notify_all();
  }));
  const MutexLock lock(mutex_);
  it->thread = std::move(thread);
  return {};
}

Result<void> MultifdDestination::serve(Connection& connection) noexcept {
  std::vector<std::byte> magic(kMagicBytes);
  if (!TERN_TRY(greet(connection, magic))) {
    // A port scanner or health check is no reason to fail.
    log_.log(LogLevel::warning, "a connection from " + connection.peer +
                                    " ended or waited without a word; still listening");
    return {};
  }
  const auto word = load_be<uint32_t>(magic.data());
  if (word == kStreamMagic) return take_main(connection, std::move(magic));
  if (word == kMultifdMagic) return serve_lane(connection, magic);
  char text[64];
  std::snprintf(text, sizeof text, "unknown channel magic: 0x%08x", word);
  return Error(ErrorCode::peer_protocol, text);
}

Result<bool> MultifdDestination::greet(Connection& connection,
                                       std::span<std::byte> magic) noexcept {
  const auto listed = threads_.enter(settings_.thread_prefix, "mig/dst/greet");
  Result<size_t> got = size_t{0};
  const auto safe = connection.secured.handshake();
  if (!safe) {
    got = safe.error();
  } else if (*safe) {
    const Deadline deadline{"x-handshake-timeout", Milliseconds(settings_.handshake_timeout)};
    connection.secured.channel->set_read_deadline(deadline);
    got = read_exactly(*connection.secured.channel, magic);
  }
  if (!got && !is_silence(got.error())) return got.error();
  return got && *got != 0;
}

Result<void> MultifdDestination::take_main(Connection& connection,
                                           std::vector<std::byte> magic) noexcept {
  log_.log(LogLevel::info, "incoming migration from " + connection.peer);
  const MutexLock lock(mutex_);
  if (main_came_) return Error(ErrorCode::peer_protocol, "a second main channel");
  main_ = std::make_unique<ReplayChannel>(std::move(magic), std::move(connection.secured.channel));
  main_came_ = anybody_ = connection.known = true;
  changed_.notify_all();
  return {};
}

Result<void> MultifdDestination::serve_lane(Connection& connection,
                                            std::span<const std::byte> magic) noexcept {
  Channel& channel = *connection.secured.channel;
  std::array<std::byte, kMultifdInitialBytes> bytes;
  std::copy(magic.begin(), magic.end(), bytes.begin());
  const size_t rest = TERN_TRY(read_exactly(channel, std::span(bytes).subspan(kMagicBytes)));
  if (rest == 0) return Error(ErrorCode::channel, "end of the channel inside its initial packet");
  const MultifdInitial initial = TERN_TRY(parse_multifd_initial(bytes));
  const size_t index = TERN_TRY(register_lane(connection, initial));
  progress_.set_channel_peer(index, connection.peer);
  const std::string name = "multifd channel " + std::to_string(index);
  const auto listed =
      threads_.enter(settings_.thread_prefix, "mig/dst/recv_" + std::to_string(index));
  // Quiet for as long as the source likes: the main stream tells whether it lives.
  channel.set_read_deadline({"x-idle-timeout", Milliseconds(settings_.idle_timeout)});
  ChannelCounters& counters = progress_.channel(index);
  counters.bytes.add(bytes.size());
  auto receiver =
      TERN_TRY(MultifdReceiver::create(channel, find_page_codec(settings_.multifd_compression),
                                       counters, bytes.size())
                   .context(name));
  Waiter waiter(*this, index);
  TERN_TRY(receiver->run(waiter).context(name));
  // The source may wait for our close: what we had not read would make its own a reset.
  channel.shutdown();
  const MutexLock lock(mutex_);
  lanes_[index].ended = true;
  changed_.notify_all();
  return {};
}

Result<size_t> MultifdDestination::register_lane(Connection& connection,
                                                 const MultifdInitial& initial) noexcept {
  const Uuid mine = machine_.uuid.value_or(Uuid{});
  if (initial.uuid != mine) {
    return Error(ErrorCode::peer_protocol, "multifd channel " + std::to_string(initial.id) +
                                               ": the source's UUID is " + uuid_text(initial.uuid) +
                                               ", this machine's is " + uuid_text(mine));
  }
  const MutexLock lock(mutex_);
  if (initial.id >= lanes_.size()) {
    return Error(ErrorCode::peer_protocol,
                 "multifd channel " + std::to_string(initial.id) + ", but multifd-channels is " +
                     std::to_string(lanes_.size()) + " here: it must be equal on both sides");
  }
  Lane& lane = lanes_[initial.id];
  if (lane.here) {
    return Error(ErrorCode::peer_protocol,
                 "multifd channel " + std::to_string(initial.id) + " came twice");
  }
  lane.here = anybody_ = connection.known = true;
  changed_.notify_all();
  return size_t{initial.id};
}

void MultifdDestination::begin(RamTarget& target) noexcept { target_.store(&target); }

Result<void> MultifdDestination::check() const noexcept {
  if (const auto error = failure_.get()) return *error;
  if (shut_) return ended();
  return {};
}

bool MultifdDestination::some_sync_missing(uint64_t point) const noexcept {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [point](const Lane& lane) { return lane.seen < point; });
}

Result<void> MultifdDestination::pass() noexcept {
  const MutexLock lock(mutex_);
  const uint64_t point = done_ + 1;
  uint64_t bytes = progress_.multifd_bytes();
  auto moved = std::chrono::steady_clock::now();
  while (some_sync_missing(point)) {
    TERN_TRY(check());
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if (lanes_[i].ended && lanes_[i].seen < point) {
        return Error(ErrorCode::channel,
                     "multifd channel " + std::to_string(i) + " ended before its SYNC");
      }
    }
    changed_.wait_for(mutex_, kLook);
    const auto now = std::chrono::steady_clock::now();
    if (const uint64_t count = progress_.multifd_bytes(); count != bytes) {
      bytes = count;
      moved = now;
    }
    if (now - moved > Milliseconds(settings_.stall_timeout)) {
      return Error(ErrorCode::timed_out,
                   "x-stall-timeout: the main stream waits for the SYNC of a multifd channel, and "
                   "no byte moved on any for " +
                       std::to_string(settings_.stall_timeout) +
                       " ms; do both sides have the same rule for sync points (x-peer-version)?");
    }
  }
  TERN_TRY(check());
  done_ = point;
  changed_.notify_all();
  return {};
}

Result<void> MultifdDestination::arrive(size_t index) noexcept {
  const MutexLock lock(mutex_);
  const uint64_t point = ++lanes_[index].seen;
  changed_.notify_all();
  while (done_ < point && !released_) {
    TERN_TRY(check());
    changed_.wait(mutex_);
  }
  return check();
}

Result<void> MultifdDestination::check_all_open() noexcept {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].ended) {
      return Error(ErrorCode::channel,
                   "multifd channel " + std::to_string(i) + " ended while the migration goes on");
    }
  }
  return check();
}

void MultifdDestination::fail(const Error& error) noexcept {
  {
    const MutexLock lock(mutex_);
    // What breaks after a shutdown is its consequence; after the end of the main stream nothing
    // that matters is on the way.
    if (shut_ || released_) return;
    failure_.set(error);
  }
  shut_down();
  on_failure_();
}

void MultifdDestination::release() noexcept {
  const MutexLock lock(mutex_);
  released_ = true;
  changed_.notify_all();
}

void MultifdDestination::shut_all() noexcept {
  if (main_) main_->shutdown();
  for (const auto& connection : connections_) {
    if (connection->secured.channel) connection->secured.channel->shutdown();
  }
}

void MultifdDestination::shut_down() noexcept {
  const MutexLock lock(mutex_);
  if (shut_) return;
  shut_ = true;
  shut_all();
  changed_.notify_all();
}

void MultifdDestination::close() noexcept {
  if (listener_ != nullptr) std::exchange(listener_, nullptr)->abort();
  if (accept_thread_.joinable()) accept_thread_.join();
  std::vector<std::unique_ptr<Connection>> connections;
  {
    const MutexLock lock(mutex_);
    const auto over = [](const auto& connection) { return connection->ended; };
    const auto until = std::chrono::steady_clock::now() + kPartingTime;
    while (!std::all_of(connections_.begin(), connections_.end(), over)) {
      const auto now = std::chrono::steady_clock::now();
      if (shut_ || now >= until) break;
      changed_.wait_for(mutex_, until - now);
    }
    shut_all();
    connections.swap(connections_);
  }
  for (const auto& connection : connections) {
    if (connection->thread.joinable()) connection->thread.join();
  }
}

}  // namespace tern
