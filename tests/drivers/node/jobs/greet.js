// Greets, with a module of its own archive and the context's settings.
'use strict';

const { greeting } = require('./lib/words.js');

exports.validate = (config) => (config.name === undefined ? ['name is missing', 'so there is nobody to greet'] : []);

exports.run = async (config, { settings, progress }) => {
  console.log(`greeting ${config.name}`);
  console.error('on both outputs');
  progress({ done: 1, total: 1, text: 'greeted' });
  return { text: `${greeting}, ${config.name}`, context: settings.context.name, separator: '\u2028', numbers: [1, 2.5, NaN] };
};
