// Ends when as many of its kind as wanted run at once.
'use strict';

const fs = require('node:fs');

exports.run = async ({ directory, count, own }) => {
  console.log('waiting for the others');
  fs.writeFileSync(`${directory}/${own}`, '');
  while (fs.readdirSync(directory).length < count) await new Promise((resolve) => setTimeout(resolve, 20));
  return own;
};
