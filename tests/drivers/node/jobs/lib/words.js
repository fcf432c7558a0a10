'use strict';

exports.greeting = 'Hello';
