import { describe, expect, it } from 'vitest'
import { refusalOf } from '../../../src/cache/store/store-errors.ts'

describe('refusals of a server', () => {
  it.each([
    ['NOPERM', "NOPERM User ann has no permissions to run the 'mget' command"],
    [
      'NOPERM',
      "ERR The user executing the script can't run this command or subcommand script: 0a1b, on @user_script:1.",
    ],
    [
      'NOPERM',
      "ERR ACL failure in script: User ann has no permissions to run the 'mget' command script: 0a1b, on @user_script:1.",
    ],
    [
      'NOPERM',
      "ERR Error running script (call to f_0a1b): @user_script:1: The user executing the script can't run this command",
    ],
    ['OOM', "OOM command not allowed when used memory > 'maxmemory'. script: 0a1b, on @user_script:1."],
    ['MISCONF', 'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk'],
    ['WRONGPASS', 'WRONGPASS invalid username-password pair or user is disabled.'],
    [undefined, 'ERR wrong number of arguments'],
  ])('%s: %s', (refusal, message) => {
    expect(refusalOf(new Error(message))).toBe(refusal)
  })
})
