import { configureGlobal } from 'fast-check'

/** What the tests draw at random is the same in each run, so that a failure is of the change; `npm run test:long` draws anew. */
export const seed: number = Number(process.env.SEED ?? 1)

configureGlobal({ seed })
