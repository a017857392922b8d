// A CommonJS module, whose exports Node's lexer can't see.
const functions = {
  add: (a, b) => a + b,
  *count(to) {
    for (let i = 1; i <= to; i++) yield i;
  },
};
module.exports = Object.assign(Object.create(null), functions, { answer: 42 });
