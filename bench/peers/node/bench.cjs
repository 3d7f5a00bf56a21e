// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The Node peers: node bench.cjs CASE ROUNDS [--system NAME] [--slice MS], or node bench.cjs --list.
// Their modules lie in the folder that PROCPOOL_BENCH_NODE names. See bench/README.md.
const path = require('path');
const { threadId } = require('worker_threads');

const modules = process.env.PROCPOOL_BENCH_NODE;
const file = path.join(__dirname, 'jobs.cjs');
const MiB = 1 << 20;
const now = () => Number(process.hrtime.bigint()) / 1e9;  // seconds
const me = `${process.pid}.${threadId}`;
const saw = (maker) => { if (maker === me) throw new Error('a result was made in this thread'); };
const median = (v) => { v = [...v].sort((a, b) => a - b); return v.length % 2 ? v[v.length >> 1] : (v[v.length / 2 - 1] + v[v.length / 2]) / 2; };
const spin = (nanoseconds) => { const begin = process.hrtime.bigint(); while (process.hrtime.bigint() - begin < nanoseconds); };

const systems = {
  'piscina (threads)': (workers) => {
    const { Piscina } = require(path.join(modules, 'piscina'));
    const pool = new Piscina({ filename: file, minThreads: workers, maxThreads: workers });
    pool.on('error', () => {});
    return { call: (name, argument) => pool.run(argument, { name }), close: () => pool.destroy() };
  },
  workerpool: (workers) => {
    process.env.BENCH_WORKERPOOL = path.join(modules, 'workerpool');
    const pool = require(process.env.BENCH_WORKERPOOL)
      .pool(file, { minWorkers: workers, maxWorkers: workers, workerType: 'process' });
    return { call: (name, argument) => pool.exec(name, [argument]), close: () => pool.terminate() };
  },
};

const cases = {};  // name -> [unit, function of the measure and the maker of pools, systems]
const enter = (name, unit, run, of = Object.keys(systems)) => { cases[name] = [unit, run, of]; };
const chunks = (values, count) => Array.from({ length: count }, (_, i) =>
  values.slice(Math.floor(values.length * i / count), Math.floor(values.length * (i + 1) / count)));
const all = (pool, name, arguments_) => Promise.all(arguments_.map((argument) => pool.call(name, argument)));

async function fill(pool, workers) {
  const seen = new Set();
  while (seen.size < workers) for (const maker of await all(pool, 'linger', Array(workers).fill(null))) seen.add(maker);
  if (seen.has(me)) throw new Error('a result was made in this thread');
}

async function roundtrips(measure, call) {
  for (const begin = now(); now() - begin < measure.slice / 2;) await call();
  for (let round = 0; round < measure.rounds; ++round) {
    let calls = 0;
    const begin = now();
    do { await call(); ++calls; } while (now() - begin < measure.slice);
    measure.report((now() - begin) * 1e6 / calls);
  }
}

async function tasksForSlice(measure, run) {
  if (measure.tiny) return 64;
  await run(64);
  for (let tasks = 64; ; tasks *= 2) {
    const begin = now();
    await run(tasks);
    if ((now() - begin) * 2 > measure.slice) return tasks;
  }
}

enter('roundtrip_hot', 'us', async (measure, pool) => roundtrips(measure, async () => saw(await pool.call('empty', null))));

enter('roundtrip_parked', 'us', async (measure, pool) => {
  for (let i = 0; i < 4; ++i) await pool.call('empty', null);
  for (let round = 0; round < measure.rounds; ++round) {
    const values = [];
    for (let i = 0; i < (measure.tiny ? 2 : 15); ++i) {
      await new Promise((done) => setTimeout(done, 20));
      const begin = now();
      saw(await pool.call('empty', null));
      values.push((now() - begin) * 1e6);
    }
    measure.report(median(values));
  }
});

for (const name of ['submit_throughput', 'map_chunk1']) {
  enter(name, 'tasks/s', async (measure, pool) => {
    const run = async (tasks) => (await all(pool, 'empty', Array(tasks).fill(null))).forEach(saw);
    const tasks = await tasksForSlice(measure, run);
    for (let round = 0; round < measure.rounds; ++round) {
      const begin = now();
      await run(tasks);
      measure.report(tasks / (now() - begin));
    }
  });
}

enter('map_200k_ints', 'tasks/s', async (measure, pool) => {
  const inputs = Array.from({ length: measure.tiny ? 2000 : 200000 }, (_, i) => i);
  const once = async () => {
    const begin = now();
    const parts = await all(pool, 'polynomials', chunks(inputs, 8));
    const results = parts.flatMap(([, part]) => part);
    const seconds = now() - begin;
    parts.forEach(([maker]) => saw(maker));
    results.forEach((result, x) => { if (result !== x * x + x + 1) throw new Error('a wrong result'); });
    return inputs.length / seconds;
  };
  await once();
  for (let round = 0; round < measure.rounds; ++round) {
    const values = [], begin = now();
    do values.push(await once()); while (now() - begin < measure.slice);
    measure.report(median(values));
  }
});

for (const us of [2, 20, 200]) {
  enter(`efficiency_${us}us`, '%', async (measure, pool) => {
    const times = [];
    for (let i = 0; i < Math.min(2001, Math.max(11, 20000 / us)); ++i) {
      const begin = process.hrtime.bigint();
      spin(us * 1000);
      times.push(Number(process.hrtime.bigint() - begin) / 1e9);
    }
    const one = median(times);
    const run = async (tasks) => (await all(pool, 'spins', chunks(Array(tasks).fill(us * 1000), 8))).forEach(saw);
    const tasks = await tasksForSlice(measure, run);
    for (let round = 0; round < measure.rounds; ++round) {
      const begin = now();
      await run(tasks);
      measure.report(100 * one * tasks / 2 / (now() - begin));
    }
  });
}

const sizes = { '8B': 8, '1KiB': 1 << 10, '16KiB': 16 << 10, '128KiB': 128 << 10, '1MiB': MiB, '16MiB': 16 * MiB, '128MiB': 128 * MiB };
for (const [name, bytes] of Object.entries(sizes)) {
  enter(`argument_${name}`, 'us', async (measure, pool) => {
    if (measure.tiny && bytes > MiB) return measure.report(0);
    const array = new Float64Array(bytes / 8).fill(1);
    await roundtrips(measure, async () => saw((await pool.call('look', array))[0]));
  }, bytes <= MiB ? Object.keys(systems) : ['piscina (threads)']);  // workerpool: Invalid array length
}

enter('argument_256MiB', 'GB/s', async (measure, pool) => {
  const bytes = measure.tiny ? MiB : 256 * MiB;
  for (let round = 0; round < measure.rounds; ++round) {
    const array = new Float64Array(bytes / 8).fill(1);
    const begin = now();
    const [maker, sum] = await pool.call('look', array);
    measure.report(bytes / 1e9 / (now() - begin));
    saw(maker);
    if (sum !== Math.ceil(bytes / 4096)) throw new Error('the array arrived changed');
  }
}, ['piscina (threads)']);

enter('result_256MiB', 'GB/s', async (measure, pool) => {
  const bytes = measure.tiny ? MiB : 256 * MiB;
  for (let round = 0; round < measure.rounds; ++round) {
    const begin = now();
    const [maker, array, making] = await pool.call('make', bytes);
    measure.report(bytes / 1e9 / (now() - begin - making));
    saw(maker);
    if (array[array.length - 1] !== 1) throw new Error('the array arrived changed');
  }
}, ['piscina (threads)']);

for (let most = 1; most <= 100000; most *= 10) {
  enter(`queue_${most}`, 'us', async (measure, pool) => {
    const queue = measure.tiny ? Math.min(most, 100) : most;
    const run = async (tasks) => (await all(pool, 'empty', Array(tasks).fill(null))).forEach(saw);
    await run(64);
    const repeats = measure.tiny ? 1 : Math.max(1, Math.floor(1000 / queue));
    for (let round = 0; round < measure.rounds; ++round) {
      const begin = now();
      for (let i = 0; i < repeats; ++i) await run(queue);
      measure.report((now() - begin) * 1e6 / queue / repeats);
    }
  });
}

for (const workers of [2, 64]) {
  enter(`start_${workers}`, 'ms', async (measure, none, make) => {
    for (let round = 0; round < measure.rounds; ++round) {
      const begin = now();
      const pool = make(measure.tiny ? 2 : workers);
      await fill(pool, measure.tiny ? 2 : workers);
      await pool.close();
      measure.report((now() - begin) * 1e3);
    }
  });
}

enter('recover', 'ms', async (measure, none, make) => {
  const pool = make(1);
  await pool.call('empty', null);
  for (let round = 0; round < measure.rounds; ++round) {
    const begin = now();
    await pool.call('die', null).then(() => { throw new Error('the crash was not noticed'); }, () => {});
    saw(await pool.call('empty', null));
    measure.report((now() - begin) * 1e3);
  }
  await pool.close();
});

const line = (value) => process.stdout.write(JSON.stringify(value) + '\n');

(async () => {
  const words = process.argv.slice(2);
  if (words[0] === '--list') {
    for (const [name, [unit, , of]] of Object.entries(cases)) for (const system of of) line({ case: name, system, unit });
    return;
  }
  const option = (name, otherwise) => (words.includes(name) ? words[words.indexOf(name) + 1] : otherwise);
  const slice = Number(option('--slice', 200)) / 1000;
  const [unit, run, of] = cases[words[0]];
  for (const system of of) {
    if (option('--system', system) !== system) continue;
    const measure = { rounds: Number(words[1]), slice, tiny: slice < .01, report: (value) => line({ case: words[0], system, unit, value }) };
    const own = run.length < 3;  // others make pools themselves
    const pool = own ? systems[system](2) : null;
    if (own) await pool.call('empty', null);
    await run(measure, pool, systems[system]);
    if (own) await pool.close();
  }
  process.exit(0);
})().catch((error) => { console.error(`${process.argv[2]}: ${error.message.split("\n")[0]}`); process.exit(1); });
