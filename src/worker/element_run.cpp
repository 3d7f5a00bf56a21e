#include "worker/element_run.hpp"

#include <unistd.h>

#include <cstdlib>

#include <procpool/detail/engine/run.hpp>

namespace procpool::inline v0::worker {

RunEnd run_elements(channel::WorkerEnd& channel, WorkerContext& context, LoadedCallable& callable,
                    ListedExceptions& listed, std::uint64_t index, std::size_t result_size,
                    ElementReader& elements, detail::Bytes& thrown) {
  channel::InboxHeader const& chunk = channel.header();
  std::uint64_t const first = chunk.serial + index;
  detail::Run::Words words{};
  detail::Run::Place place{};
  channel.begin_run(first, result_size, words, place);
  context.begin_run(chunk.random, words);
  place.index = chunk.element + index;
  place.arguments = elements.place();
  place.argument_step = elements.step();
  detail::Run run(words, place);
  bool const over = callable.run(run, thrown, channel.stage(), listed);
  // A task may fork, and return in the child too: what follows is for the worker alone.
  if (context.forked()) ::_exit(EXIT_SUCCESS);
  context.end();
  bool const rest = channel.end_run(run);
  std::uint64_t const done = run.next() - first;
  elements.skip(done + (over ? 0 : 1));
  return {done, !over, !rest};
}

}  // namespace procpool::inline v0::worker
