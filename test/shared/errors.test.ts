import { describe, expect, it } from 'vitest'
import {
  ClientInputError,
  loadPeer,
  PeerMissingError,
  PosthasteError,
  problemDetails,
} from '../../src/shared/errors.ts'

class TooLarge extends ClientInputError {
  readonly code = 'ERR_PAGE_INVALID'
  readonly issues = [{ param: 'per_page', message: 'must be at most 100' }]
}

describe('errors that a client’s input caused', () => {
  const error = new TooLarge('`per_page` must be at most 100')

  it('carry what frameworks read to answer 400', () => {
    expect(error).toBeInstanceOf(PosthasteError)
    expect(error).toMatchObject({ name: 'TooLarge', status: 400, statusCode: 400, expose: true })
  })

  it('become a problem document', async () => {
    const document = {
      title: 'Bad Request',
      status: 400,
      detail: '`per_page` must be at most 100',
      code: 'ERR_PAGE_INVALID',
      issues: [{ param: 'per_page', message: 'must be at most 100' }],
    }
    const problem = problemDetails(error)
    expect(problem).toMatchObject({ status: 400, headers: { 'content-type': 'application/problem+json' } })
    expect(JSON.parse(problem?.body ?? '')).toEqual(document)
    const response = error.getResponse()
    expect(response.status).toBe(400)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toEqual(document)
  })

  it.each([new Error('disk full'), null, undefined, { status: 400 }])('are told from others: %s is none', (other) => {
    expect(problemDetails(other)).toBeUndefined()
  })
})

describe('loadPeer', () => {
  it('says what to install when the package is not there', async () => {
    const missing = loadPeer(
      () => import('no-such-package' as string),
      'A cache on Redis',
      'npm i keyv@5 @keyv/redis@5',
    )
    await expect(missing).rejects.toBeInstanceOf(PeerMissingError)
    await expect(missing).rejects.toThrow(
      'A cache on Redis needs a package that is not installed: npm i keyv@5 @keyv/redis@5',
    )
  })

  it('lets an error inside the package through', async () => {
    const broken = new Error('broken')
    await expect(loadPeer(() => Promise.reject(broken), 'A cache', 'npm i keyv')).rejects.toBe(broken)
  })
})
