declare module 'overload-protection'
declare module 'toobusy-js'
