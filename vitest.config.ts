import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    // Of tests in one file, where they are concurrent at all: these drive a browser.
    maxConcurrency: 3
  }
})
