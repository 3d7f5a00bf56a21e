// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What the workers of the Node peers run: piscina (threads) calls the exports by name, workerpool
// (processes) registers them. Every result carries the process and the thread that made it.
const { threadId } = require('worker_threads');

const maker = () => `${process.pid}.${threadId}`;
const polynomial = (x) => x * x + x + 1;
const spin = (nanoseconds) => {
  const begin = process.hrtime.bigint();
  while (process.hrtime.bigint() - begin < nanoseconds);
};

const jobs = {
  empty: () => maker(),
  polynomials: (inputs) => [maker(), inputs.map(polynomial)],
  spins: (durations) => { durations.forEach(spin); return maker(); },
  // For tasks that want a worker each: long enough for the others to begin.
  linger: () => { spin(5e5); return maker(); },
  look: (array) => { let sum = 0; for (let i = 0; i < array.length; i += 512) sum += Number(array[i]); return [maker(), sum]; },
  make: (bytes) => {
    const begin = process.hrtime.bigint();
    const array = new Float64Array(bytes / 8).fill(1);
    return [maker(), array, Number(process.hrtime.bigint() - begin) / 1e9];
  },
  die: () => { process.exit(9); },
};
module.exports = jobs;

if (process.env.BENCH_WORKERPOOL) require(process.env.BENCH_WORKERPOOL).worker(jobs);
