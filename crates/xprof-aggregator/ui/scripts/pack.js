// Puts the compressed forms of every file beside it, where they are smaller, so that the server never compresses them.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const root = 'dist/web/assets';
for (const name of readdirSync(root)) {
  const plain = readFileSync(`${root}/${name}`);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
  for (const [ending, packed] of [['gz', gzipSync(plain, { level: 9 })], ['br', brotliCompressSync(plain, { params })]]) {
    if (packed.length < plain.length) writeFileSync(`${root}/${name}.${ending}`, packed);
  }
}
