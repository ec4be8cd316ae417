import './pages.ts'
import './caching.ts'
import './serving.ts'
import './middleware.ts'
import './batching.ts'

export * from './suite.ts'
