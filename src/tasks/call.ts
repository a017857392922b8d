export interface Call<O> {
  readonly id: string;
  readonly result: Promise<O>;
}
