// A result of as many characters as wanted.
'use strict';

exports.run = async ({ size }) => 'é'.repeat(size);
