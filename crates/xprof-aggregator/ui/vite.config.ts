import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// `npm run dev` serves the sources and asks this server for the answers.
const api = process.env.XPROF_URL ?? 'http://127.0.0.1:8791';
const routes = ['/data', '/data_csv', '/runs', '/run_tools', '/hosts', '/module_list', '/config', '/version'];

export default defineConfig({
  // Relative, so that any path prefix works.
  base: './',
  plugins: [svelte()],
  build: {
    outDir: 'dist/web',
    target: 'es2022',
    // The first that know light-dark().
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    manifest: true,
    // The policy allows no inline code, and every browser that has WebGL2 preloads modules itself.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { proxy: Object.fromEntries(routes.map((route) => [route, api])) },
});
