import { describe, expect, it } from 'vitest'
import { isOfReplica, isOutage, refusalOf } from '../../../src/cache/store/store-errors.ts'

/** The error of a command inside a script, as Redis up to 6.2 words it. */
function inScriptOf6(error: string): string {
  return `ERR Error running script (call to f_0a1b): @user_script:12: @user_script: 12: ${error}`
}

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
    ['NOPERM', "ERR unknown command 'EVALSHA', with args beginning with: '0a1b' '2' '{cache}:clock'"],
    ['NOPERM', 'ERR unknown command `evalsha`, with args beginning with: `0a1b`, `2`, `{cache}:clock`, '],
    ['NOPERM', 'ERR Unknown Redis command called from script script: 0a1b, on @user_script:31.'],
    ['OOM', "OOM command not allowed when used memory > 'maxmemory'. script: 0a1b, on @user_script:1."],
    ['MISCONF', 'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk'],
    ['WRONGPASS', 'WRONGPASS invalid username-password pair or user is disabled.'],
    [undefined, 'ERR wrong number of arguments'],
    ['OOM', inScriptOf6("-OOM command not allowed when used memory > 'maxmemory'.")],
    [
      'MISCONF',
      inScriptOf6('-MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist'),
    ],
    [undefined, inScriptOf6('WRONGTYPE Operation against a key holding the wrong kind of value')],
  ])('%s: %s', (refusal, message) => {
    expect(refusalOf(new Error(message))).toBe(refusal)
  })
})

it.each([
  "READONLY You can't write against a read only replica. script: 0a1b, on @user_script:1.",
  inScriptOf6("-READONLY You can't write against a read only replica."),
  "ERR Error running script (call to d8f2): @user_script:2: -READONLY You can't write against a read only replica.",
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
])('the server is a replica that says: %s', (message) => {
  expect(isOfReplica(new Error(message))).toBe(true)
  expect(isOutage(new Error(message))).toBe(true)
})
