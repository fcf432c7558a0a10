// A driver for jobs in JavaScript (Node 18 or later), written from docs/driver-protocol.md alone: it proves that the page
// suffices, and is a pattern for other languages. A job of class `a/b` is the module `a/b.js` in one of its zip archives:
//
//   exports.validate = (config) => ['what is wrong with it', …];             // optional
//   exports.run = async (config, { settings, progress }) => anyJsonValue;    // progress({ done, total, text })
//
// Each job runs in a process of its own: it cannot block the others, and a kill ends it whatever it does.
'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { posix: paths } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const vm = require('node:vm');
const zlib = require('node:zlib');

const PROTOCOL = 1;
const PROGRESS_EVERY_MS = 250;
const LONGEST_TIMER_MS = 2 ** 31 - 1; // a longer one would fire at once
const MOST_TEXT = 65536; // characters of a message or a stack

const failed = (name, message, stack) => ({
  failed: { error: { message: message.slice(0, MOST_TEXT), class: name, stack: stack?.slice(0, MOST_TEXT) } },
});

// What was thrown, which need not be an Error.
function failure(thrown) {
  const isError = thrown instanceof Error;
  return failed(isError ? thrown.name : typeof thrown, String(isError ? thrown.message : thrown), isError ? thrown.stack : null);
}

// ---- The driver: one end of the channel, and a process for each job.

class Driver {
  constructor(fd) {
    this.jobs = new Map();
    this.socket = new net.Socket({ fd, readable: true, writable: true });
    for (const event of ['end', 'close', 'error']) this.socket.on(event, () => this.abandoned());
    let parts = [];
    // Not readline: it takes U+2028, which JSON may hold as it is, for the end of a line.
    this.socket.on('data', (chunk) => {
      for (let at; (at = chunk.indexOf(10)) >= 0; chunk = chunk.subarray(at + 1)) {
        const [[kind, body]] = Object.entries(JSON.parse(Buffer.concat([...parts, chunk.subarray(0, at)]).toString()));
        parts = [];
        if (['start', 'run', 'cancel', 'stop'].includes(kind)) this[kind](body);
      }
      parts.push(chunk);
    });
  }

  say(kind, body) {
    this.socket.write(JSON.stringify({ [kind]: body }) + '\n');
  }

  // Says the last word. The process ends once it is written.
  leave(kind, body, status) {
    this.socket.removeAllListeners();
    this.socket.on('error', () => process.exit(status));
    this.socket.end(JSON.stringify({ [kind]: body }) + '\n', () => process.exit(status));
  }

  start({ protocol, context, settings }) {
    if (protocol !== PROTOCOL) return this.leave('unable', { message: `this driver speaks protocol ${PROTOCOL}, not ${protocol}` }, 1);
    const heap = settings.node?.['heap-mb'];
    if (heap !== undefined && !/^[1-9]\d{0,5}$/.test(heap)) {
      return this.leave('unable', { message: `the setting node.heap-mb is a number of MiB, not ${JSON.stringify(heap)}` }, 1);
    }
    this.settings = settings;
    this.nodeArguments = heap === undefined ? [] : [`--max-old-space-size=${heap}`];
    console.log(`context ${context.name}, attempt ${context.attempt}: Node ${process.version}, process ${process.pid}`);
    this.say('ready', { application_id: `node-${process.pid}` });
  }

  run(body) {
    const job = { child: null, cancelled: false };
    this.jobs.set(body.job, job);
    job.ended = this.work(job, body).catch(failure).then((end) => {
      this.jobs.delete(body.job);
      const [[kind, fields]] = Object.entries(end);
      this.say(kind, { job: body.job, ...fields });
    });
  }

  // Runs the job, and gives its terminal message once all of its processes are gone.
  async work(job, body) {
    const { DOYEN_DRIVER_FD, ...env } = process.env; // Node has made the descriptor close-on-exec
    const log = fs.openSync(body.log, 'a');
    try {
      // Detached: the leader of a process group, so that a kill reaches what the job has started.
      job.child = fork(__filename, ['job'], { detached: true, env, execArgv: this.nodeArguments, stdio: ['ignore', log, log, 'ipc'] });
    } finally {
      fs.closeSync(log);
    }
    const gone = Promise.all([once(job.child, 'exit'), once(job.child, 'disconnect')]); // rejected when it cannot start
    let end = null;
    job.child.on('message', (message) => {
      const [[kind, fields]] = Object.entries(message);
      if (kind === 'accepted' || kind === 'progress') this.say(kind, { job: body.job, ...fields });
      else end ??= message;
    });
    job.child.send({ ...body, settings: this.settings }, () => {}); // when it fails, the process has ended
    const [[status, signal]] = await gone;
    await killGroup(job.child.pid);
    if (end) return end;
    if (job.cancelled) return { cancelled: {} };
    return failed('WorkerExited', `the job's process ended ${signal ? `by ${signal}` : `with status ${status}`} before the job did`);
  }

  cancel({ job: id }) {
    const job = this.jobs.get(id);
    if (!job) return;
    job.cancelled = true;
    signalGroup(job.child?.pid, 'SIGKILL');
  }

  async stop({ graceful, grace_ms: graceMs }) {
    const ended = Promise.all([...this.jobs.values()].map((job) => job.ended));
    if (graceful) await Promise.race([ended, sleep(Math.min(graceMs, LONGEST_TIMER_MS))]);
    for (const id of this.jobs.keys()) this.cancel({ job: id });
    await ended;
    this.leave('bye', {}, 0);
  }

  // Nobody is left who could want a result.
  abandoned() {
    for (const job of this.jobs.values()) signalGroup(job.child?.pid, 'SIGKILL');
    process.exit(1);
  }
}

// Whether there was such a group.
function signalGroup(leader, signal) {
  try {
    return leader !== undefined && process.kill(-leader, signal);
  } catch {
    return false;
  }
}

// What outlives its parent is the shim's child, which reaps it.
async function killGroup(leader) {
  for (let look = 0; look < 200 && signalGroup(leader, 'SIGKILL'); look++) await sleep(10);
}

// ---- A job's process.

function unzip(path) {
  const zip = fs.readFileSync(path);
  const files = new Map();
  const end = zip.lastIndexOf('PK\x05\x06');
  if (end < 0) throw new Error(`${path} is no zip archive`);
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => zip.readUInt16LE(at + field));
    const [isDeflated, size, local] = [zip.readUInt16LE(at + 10) === 8, zip.readUInt32LE(at + 20), zip.readUInt32LE(at + 42)];
    const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const content = zip.subarray(from, from + size);
    files.set(zip.toString('utf8', at + 46, at + 46 + nameLength), () => (isDeflated ? zlib.inflateRawSync(content) : content).toString());
    at += 46 + nameLength + extraLength + commentLength;
  }
  return files;
}

// A module of the archives, which stay in memory: jobs with different archives cannot see each other's modules.
function load(archives, name, loaded = new Map()) {
  if (loaded.has(name)) return loaded.get(name).exports;
  const read = archives.map((files) => files.get(name)).find(Boolean);
  if (!read) throw new ReferenceError(`no archive of this job holds ${name}`);
  const module = { exports: {} };
  loaded.set(name, module);
  const inner = (id) => (id.startsWith('.') ? load(archives, paths.join(paths.dirname(name), id), loaded) : require(id));
  vm.compileFunction(read(), ['module', 'exports', 'require'], { filename: name })(module, module.exports, inner);
  return module.exports;
}

async function perform(job) {
  const { validate, run } = load(job.binaries.map((binary) => unzip(binary.path)), `${job.class}.js`);
  const problems = (await validate?.(job.config)) ?? [];
  if (problems.length > 0) return { rejected: { problems } };
  process.send({ accepted: {} });
  let last = -Infinity;
  const progress = (fields) => {
    if (performance.now() - last < PROGRESS_EVERY_MS) return;
    last = performance.now();
    process.send({ progress: fields });
  };
  const text = JSON.stringify(await run(job.config, { settings: job.settings, progress })) ?? 'null';
  if (Buffer.byteLength(text) <= job.inline_result_bytes) return { finished: { result: JSON.parse(text) } };
  fs.writeFileSync(job.result_file, text);
  return { finished: { result_file: job.result_file } };
}

if (process.argv[2] === 'job') {
  const end = (message) => process.send(message, () => process.exit());
  process.on('uncaughtException', (thrown) => end(failure(thrown))); // rejections that nobody handles as well
  process.on('disconnect', () => process.exit(1)); // the driver is gone
  process.once('message', (job) => perform(job).catch(failure).then(end));
} else {
  new Driver(Number(process.env.DOYEN_DRIVER_FD));
}
