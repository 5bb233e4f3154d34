import { defineConfig } from 'vite'
import { svelte } from '@sveltejs/vite-plugin-svelte'

// The build is committed, so that Go alone builds the binary. For work on the pages: `npm run dev`, with
// `rollcage inspect` on its usual port beside it and its token in ROLLCAGE_TOKEN.
export default defineConfig({
  plugins: [svelte()],
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  server: {
    proxy: {
      '/api': {
        target: 'http://127.0.0.1:4747',
        headers: { Authorization: `Bearer ${process.env.ROLLCAGE_TOKEN ?? ''}` },
      },
    },
  },
})
