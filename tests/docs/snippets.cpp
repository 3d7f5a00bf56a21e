// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The blocks of C++ in README.md, docs/guide.md and docs/handles.md that are no whole programs, as check_excerpts.py
// finds them here, line for line. This file is compiled and never run.

#include <boost/unordered_map.hpp>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <procpool.hpp>
#include <procpool/mpi.hpp>
#include <procpool/shared_object.hpp>  // <procpool.hpp> does not bring it
#include <random>
#include <ranges>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// clang-format off

namespace snippets {

// ---- what the documents take for granted

extern procpool::ProcessPool pool;

int f(int x);
int g(int x);
double term(long x);
double add(double a, double b);
double power(double x, int exponent);
int twofold(int a, int x);
bool enough(int result);
void use(int value);
std::vector<int> const xs{1, 2, 3};
std::vector<double> const numbers{1, 2, 3};
std::vector<std::string> const files{"a", "b"};
inline long const n = 1'000;

struct Scale {
  int factor = 1;
  int operator()(int x) const { return factor * x; }
};
struct Line {
  double slope = 1;
  double at(double x) const { return slope * x; }
};

// ---- README.md

namespace readme {

struct Page { int words = 0; };
Page parse(std::string const& file);
void use(Page const& page);
void use(int value);

void parse_all() {
for (auto const& outcome : pool.outcomes().imap<parse>(files)) {   // one of them segfaults
  if (outcome) use(*outcome);
  else std::cerr << outcome.error().what() << '\n';
}
}

int work(int x, int y);
std::vector<int> slice(std::span<int const> part, int y);
long f(long x);
long add(long a, long b);
int store(int x);
int next(int x);
using Table = std::map<int, int>;
Table load_table();
int look_up(int x, Table const& table);

procpool::Future<int> operations(std::vector<int> ys, std::vector<std::tuple<int, int>> tuples, int x, int y, std::string user,
                           std::vector<int> endless) {
procpool::ProcessPool pool{8};

procpool::Future<int> q = pool.submit<work>(x, y);     // one call
int r                   = pool.call<work>(x, y);       // submit and get
std::vector<int> rs     = pool.map<work>(xs, ys);      // ordered; several ranges are zipped
std::vector<int> ts     = pool.starmap<work>(tuples);  // a tuple of arguments per call
auto outcomes           = pool.outcomes().map<work>(xs, ys);  // for each a value or a failure
auto results            = pool.map_async<work>(xs, ys);  // without waiting: get(), cancel(), done()

for (int r : pool.imap<work>(endless, ys)) use(r);     // a stream: inputs are read as results are taken
for (auto [i, r] : pool.imap_unordered<work>(xs, ys)) rs[i] = r;    // as they come
std::vector<int> parts  = pool.parallelize<slice>(xs, y);           // slice takes a part of the range
long sum                = pool.parallelize_reduce<f, add>(0L, n, 0L);

auto later              = pool.submit<work>(x, y).then(store).then(next);  // futures compose: then, when_all,
int awaited             = co_await pool.submit<work>(x, y);                // when_any, as_completed, co_await

auto table              = pool.share(load_table());    // sent once to each worker
pool.map(procpool::bind_back(look_up, table), xs);     // every operation also takes a callable
pool.with({.chunk = 64}).map<work>(xs, ys);            // options of one call come first
pool.with({.progress = procpool::progress_bar()}).map<work>(xs, ys);
pool.with({.timeout = 2s, .retries = {.times = 3}}).map<work>(xs, ys);  // per element; ends only the element that overruns
auto keyed              = pool.with({.key = user}).submit<work>(x, y);  // equal keys, one worker
pool.resize(16);                                       // while it works
co_return awaited + r + static_cast<int>(sum) + ts[0] + parts[0];
}

}  // namespace readme

// ---- docs/guide.md

namespace making {

namespace one {
procpool::ProcessPool pool;                                   // one worker per usable CPU
}
namespace two {
procpool::ProcessPool pool{8};                                // eight
}
namespace three {
procpool::ProcessPool pool{{.workers = 8, .name = "solver"}};  // PoolOptions
}
namespace four {
procpool::ProcessPool pool{{.workers = 8,
                            .start = {.method = procpool::Start::forkserver},
                            .lifetime = {.max_tasks = 1'000, .idle_timeout = 1min},
                            .output = {.mode = procpool::Output::capture}}};
}
namespace five {
procpool::ProcessPool pool{{.lifetime = {.recycle_above = 2ull << 30, .idle_timeout = 1min}}};
}
namespace six {
procpool::ProcessPool pool{{.placement = {.cpus_per_worker = 4}}};  // OpenMP with four threads
}
namespace seven {
procpool::ProcessPool pool{{.workers = 64, .start = {.method = procpool::Start::forkserver}}};
}
namespace eight {
procpool::ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
}

namespace eleven {
procpool::ProcessPool pool{{.engine = procpool::mpi()}};
}

struct Metrics { void count_death(int signal); };
extern Metrics metrics;

void events() {
procpool::PoolOptions options;
options.on_event = [](procpool::Event const& event) {
  if (event.kind == procpool::EventKind::worker_died) metrics.count_death(event.signal.value_or(0));
};
}

struct Response { std::string body, type; };
struct Server { void get(std::string const& path, std::function<void(int const&, Response&)> handler); };
extern Server server;
extern procpool::ProcessPool images, texts;

void prometheus() {
server.get("/metrics", [&](auto const&, auto& response) {
  response.body = procpool::prometheus_text({&images, &texts});
  response.type = "text/plain; version=0.0.4";
});
}

struct Connection {
  explicit Connection(std::string const& host);
  int ask(int question);
};
void read_configuration();
long cache_size();
void empty_cache(long limit);

void connect(std::string const& host) { procpool::WorkerLocal<Connection>::emplace(host); }
int ask(int question) { return procpool::WorkerLocal<Connection>::get().ask(question); }

namespace nine {
procpool::ProcessPool pool{{.start = {.initializer = procpool::bound<connect>("db.example")}}};
}

void start_early() {
procpool::ProcessPool pool{
    {.workers = 8, .start = {.initializer = procpool::bound<connect>("db.example")}}};
auto warm = pool.start();
read_configuration();
warm.get();  // throws what a failed initializer has thrown
}

long sizes(long limit) {
long total = 0;
for (long const size : pool.on_each_worker<cache_size>()) total += size;
auto emptied = pool.on_each_worker_async<empty_cache>(limit);  // returns at once
for (auto const& outcome : pool.outcomes().on_each_worker<cache_size>()) {
  total += outcome.value_or(0);  // also if a worker dies
}
emptied.get();
return total;
}

std::map<std::string, std::string> device_of(int worker) {
  return {{"CUDA_VISIBLE_DEVICES", std::to_string(worker)}};
}

namespace ten {
procpool::ProcessPool pool{{.workers = 4, .start = {.worker_environment = device_of}}};
}

struct Input { int x = 0; };
struct Model {
  explicit Model(std::string const& path);
  double predict(Input const& input) const;
};

Model const* model = nullptr;  // static storage: tasks find it there

void load_model(std::string const& path) { model = new Model(path); }
double predict(Input const& input) { return model->predict(input); }

void preload(std::vector<Input> inputs) {
procpool::ProcessPool pool{{.start = {.method = procpool::Start::forkserver,
                                      .preload = procpool::bound<load_model>("model.bin")}}};
auto const results = pool.map<predict>(inputs);
}

}  // namespace making

namespace calls {

void with_options() {
pool.with({.chunk = 64}).map<f>(xs);
auto const urgent = pool.with({.timeout = 2s, .priority = 1});
urgent.with({.chunk = 8}).map<f>(xs);  // with all three
}

void streams(std::vector<int> source) {
std::vector<int> results(source.size());
for (auto result : pool.imap<f>(source)) {        // moved out, in the order of the inputs
  if (enough(result)) break;                      // ends the reading, cancels elements that have not begun
}
for (auto [index, result] : pool.imap_unordered<f>(source)) {
  results[index] = result;                        // as they come
}
}

std::vector<double> roots(std::span<double const> numbers, double scale);  // takes a slice

void slices() {
std::vector<double> all = pool.parallelize<roots>(numbers, 10.0);
double sum = pool.parallelize_reduce<term, add>(0L, 1'000'000L, 0.0);
use(static_cast<int>(all[0] + sum));
}

procpool::Future<int> futures(std::vector<procpool::Future<int>> futures, std::vector<procpool::Future<int>> mirrors,
                              std::vector<procpool::Future<int>> others, std::vector<procpool::Future<int>> last) {
auto later = pool.submit<f>(1).then([](int x) { return x + 1; })     // Future<int>
                 .then([&](int x) { return pool.submit<g>(x); });    // a future of the second call
auto [a, b] = procpool::when_all(pool.submit<f>(1), pool.submit<g>(2)).get();
auto any = procpool::when_any(std::move(others)).get();              // any.index, any.futures
auto ok = procpool::when_any_ok(std::move(mirrors)).get();           // ok.index, ok.value: the first success
auto outcomes = procpool::when_all_outcomes(std::move(last)).get();  // an Outcome for each
for (auto& future : procpool::as_completed(futures)) use(future.get());
int y = pool.submit<f>(1).or_else([](procpool::Failure const&) { return 0; }).get();
int z = pool.submit<f>(1).within(500ms).get();                       // or TaskTimeout
int x = co_await pool.submit<f>(1);                                  // in any coroutine
co_return a + b + x + y + z + static_cast<int>(any.index + ok.index + outcomes.size());
}

struct State { bool done = false; };
State step(State state);
State finish(State state);

procpool::Future<State> loop(procpool::ProcessPool& pool, State state) {
  return pool.submit<step>(state).then(
      [&pool](State now) { return now.done ? pool.submit<finish>(now) : loop(pool, now); });
}

struct Request {};
struct Reply {};
struct Client { void send(Request const& request, std::function<void(Reply)> done); };

procpool::Future<Reply> fetch(Client& client, Request const& request) {
  auto promise = std::make_shared<procpool::Promise<Reply>>();
  client.send(request, [promise](Reply reply) { promise->set_value(std::move(reply)); });
  return promise->get_future();
}

procpool::Future<void> awaited_streams(std::vector<int> source, std::vector<procpool::Future<int>> futures) {
auto stream = pool.imap<f>(source);
while (auto result = co_await stream.next()) use(*result);     // a std::optional
auto completed = procpool::as_completed(futures);
while (auto* future = co_await completed.next()) use(future->get());
}

int parse(std::string const& file);
void draw(std::uint64_t done, std::optional<std::uint64_t> total);

void progress() {
pool.with({.progress = procpool::progress_bar("files")}).map<parse>(files);
pool.with({.progress = [](procpool::Progress const& p) { draw(p.done, p.total); }}).map<parse>(files);
}

struct Model { int steps = 1; };
void advance(Model const& model);
double result(Model const& model);
void show(std::uint64_t done, std::optional<std::uint64_t> total);

double simulate(Model const& model) {
  for (int step = 0; step < model.steps; ++step) {
    advance(model);
    procpool::this_task::progress(step + 1, model.steps);
  }
  return result(model);
}

void inner_progress(Model model) {
auto future = pool.submit<simulate>(model);
if (auto progress = future.progress()) show(progress->done, progress->total);
}

void retries() {
pool.with({.retries = {.times = 3}}).map<f>(xs);    // after crashes and timeouts
pool.with({.retries = {.times = 3,                  // and after these exceptions
                       .backoff = 10ms,
                       .also_on = procpool::thrown<std::system_error>()}}).map<f>(xs);
}

void stops() {
std::stop_source source;
auto stoppable = pool.with({.stop = source.get_token()});
auto a = stoppable.submit<f>(1);
auto b = stoppable.map_async<g>(xs);
source.request_stop();   // returns at once; a and b end with TaskCancelled
}

struct Button { void on_click(std::function<void()> action); };
extern Button button;

void click() {
auto future = pool.submit<f>(1);
button.on_click([source = future.get_stop_source()]() mutable { source.request_stop(); });
future.get();            // throws TaskCancelled after a click
}

struct Map {};
struct Route {};
Route any_route(Map const& map);
Route improve(Route const& route);

Route best_route(Map map) {
  Route best = any_route(map);
  while (!procpool::this_task::stop_requested()) best = improve(best);
  return best;  // the best route when the time is over
}

Route routed(Map map) {
auto route = pool.with({.timeout = 2s}).call<best_route>(map);
return route;
}

void sigterm() {
procpool::ProcessPool pool{{.shutdown = {.ignore_sigterm = true}}};

// ... and after the program was told to end:
pool.close();
pool.join();  // or shutdown(End::cancel): running tasks are finished, the others do not begin
}

double dart(long) {
  std::uniform_real_distribution<double> place(-1, 1);
  auto random = procpool::this_task::random();  // refers to the stream; std::mt19937_64 own = random; is a copy
  return std::hypot(place(random), place(random)) < 1 ? 4.0 : 0.0;
}

double darts() {
double pi = pool.parallelize_reduce<dart, add>(0L, n, 0.0) / n;  // the same for 1 worker and for 16
return pi;
}

}  // namespace calls

namespace values {

bool is_old(std::string const& file);

void parse(std::string const& file) {
  if (is_old(file)) procpool::log(procpool::LogLevel::warning, file + " has an old format");
}

void callables(std::vector<Line> lines, Line line, std::vector<double> xs, int a, int k) {
pool.map<parse>(files);                               // a function, named as template argument
pool.map<&Line::at>(lines, xs);                       // a member function: its object comes first
pool.map(parse, files);                               // a function pointer
pool.map([](double x) { return x + 1; }, xs);         // a lambda without captures
pool.map(Scale{10}, xs);                              // a functor, sent with its members
pool.map(procpool::bind_front(twofold, a), xs);       // the first arguments bound
pool.map(procpool::bind_front<&Line::at>(line), xs);  // the same, the object of a member function
pool.map(procpool::bind_back(power, 2), xs);          // the last ones bound
pool.map(procpool::by_value([k](double x) { return k * x; }), xs);  // a lambda whose captures are plain values
}

using Table = std::map<int, int>;
Table load_table();
int look_up(int x, Table const& table);

struct LookUp {
  procpool::Shared<Table> table;
  int operator()(int x) const;
};

void shared() {
auto const table = pool.share(load_table());                // procpool::Shared<Table>

pool.map(procpool::bind_back(look_up, table), xs);          // look_up(x, Table const&)
auto found = pool.submit<look_up>(3, table);
pool.map(LookUp{table}, xs);                                // struct LookUp { Shared<Table> table; ... }
}

struct Scene {};
struct Pixel { unsigned char red = 0, green = 0, blue = 0; };
void fill(std::span<double> numbers);
procpool::SharedArray<Pixel> render(Scene const& scene);
void count(procpool::SharedValue<long> const& counter, int x);

void memory(Scene scene) {
procpool::SharedArray<double> numbers(1'000'000);           // zeros
pool.call<fill>(numbers);                                   // void fill(std::span<double>)
auto image = pool.call<render>(scene);                      // SharedArray<Pixel> render(Scene const&)

procpool::SharedValue<long> counter;                        // 0
pool.map(procpool::bind_front(count, counter), xs);         // count calls counter.fetch_add(1)
}

}  // namespace values

namespace failures {

struct Page {};
Page parse(std::string const& file);
void use(Page const& page);
void retry_alone(std::string const& file);

void thrown() {
try {
  pool.map<parse>(files);
} catch (std::out_of_range const& error) {              // as the loop would have thrown it
  std::cerr << error.what() << '\n';
} catch (procpool::Origin const& origin) {               // everything else that was thrown in a worker
  std::cerr << origin.type << " at element " << origin.element << '\n';
} catch (procpool::WorkerDied const& died) {
  std::cerr << died.what() << '\n';                     // worker, reason, task and element
  retry_alone(files[died.element()]);
}
}

void outcomes() {
for (auto const& outcome : pool.outcomes().imap<parse>(files)) {   // goes on behind failures
  if (outcome) {
    use(*outcome);
  } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
    std::cerr << "crashed: " << died->what() << '\n';
  } else {
    std::cerr << outcome.error().describe() << '\n';
  }
}
}

struct ParseError : std::runtime_error {
  explicit ParseError(std::string const& text = {}, int at = 0) : std::runtime_error(text), line(at) {}
  template <class A>
  void serialize(A& archive, unsigned) { archive & line; }
  int line;
};
struct NotFound : std::runtime_error { using std::runtime_error::runtime_error; };  // a name and a text

void own_types() {
procpool::ProcessPool pool{{.exceptions = procpool::exception_types<ParseError, NotFound>()}};
try {
  pool.map<parse>(files);
} catch (ParseError const& error) {
  std::cerr << "line " << error.line << ": " << error.what() << '\n';
}
}

}  // namespace failures

// ---- docs/handles.md

namespace handles {

struct Row {};
struct Summary {};
void read_all(std::string path, procpool::Queue<Row> const& rows);
Summary write_all(std::string const& path, procpool::Queue<Row> const& rows);

Summary processes(std::string path, procpool::Queue<Row> rows) {
procpool::Process reader{{.name = "reader"}, read_all, path, rows};  // options, function, arguments
auto writer = procpool::start_process<write_all>(path, rows);       // the function as a template argument
reader.join();                         // throws no error of the function
Summary summary = writer.get();        // its value, or the reason why there is none
return summary;
}

struct Counter {
  explicit Counter(int first) : sum(first) {}
  int add(int x) { return sum += x; }
  int slow();
  int sum;
};

void actors() {
auto counter = pool.actor<Counter>(10);                   // Counter(10), in a process of its own
procpool::Future<int> sum = counter.call<&Counter::add>(5);
counter.call([](Counter& c, int x) { return c.add(x) + c.add(x); }, 5).get();
counter.with({.timeout = 1s}).call<&Counter::slow>().get();
}

struct Job { int number = 0; };
void work(Job const& job);

void queues(Job job) {
procpool::Queue<Job> jobs{{.items = 64, .redeliver = 3}};
jobs.push(job);                        // waits while 64 items wait
for (auto const& job : jobs) work(job);  // in any number of processes, each item in one of them
jobs.close();                          // no more items: loops end when the queue is drained
}

struct Question { int number = 0; };
struct Answer { int number = 0; };
void calculate(procpool::PipeEnd<Answer, Question> end);
void use(Answer const& answer);

void pipes(Question question) {
auto [client, server] = procpool::make_pipe<Question, Answer>();
procpool::Process calculator{calculate, std::move(server)};  // gives the end away
client.send(question);
while (auto answer = client.receive()) use(*answer);          // until the other end is gone
}

namespace bip = boost::interprocess;
using Table = boost::unordered_map<long, double, boost::hash<long>, std::equal_to<long>,
                                   procpool::ObjectAllocator<std::pair<long const, double>>>;

double price_of(Table const& table, long article);

void objects(std::vector<std::pair<long, double>> rows, std::vector<long> xs) {
auto const build_table = [&](procpool::ObjectBuilder& build) -> Table& {
  auto& made = *build.construct<Table>(bip::anonymous_instance)(
      build.get_allocator<Table::value_type>());
  for (auto const& [key, value] : rows) made.emplace(key, value);
  return made;
};
auto const table = procpool::share_object<Table>(1 << 30, build_table);  // at most 1 GiB
pool.map(procpool::bind_front(price_of, table), xs);  // double price_of(Table const&, long)
}

}  // namespace handles

}  // namespace snippets
