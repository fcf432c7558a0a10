// Prints its process and one that it started, then keeps the processor busy for ever.
'use strict';

const { spawn } = require('node:child_process');

exports.run = async () => {
  const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' });
  await new Promise((resolve) => sleeper.once('spawn', resolve));
  console.log(`${process.pid} ${sleeper.pid}`);
  for (;;);
};
