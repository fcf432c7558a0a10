// Ends as its configuration says: by an error, out of turn, or with its process.
'use strict';

exports.run = async ({ how }) => {
  if (how === 'throw') throw new RangeError('out of range');
  if (how === 'later') setTimeout(() => { throw new TypeError('thrown by a timer'); }, 1);
  if (how === 'exit') process.exit(3);
  await new Promise(() => {});
};
